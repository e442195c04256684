"""Traces, off until an endpoint is set; nothing of OpenTelemetry is imported before that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nexus_mesh.rpc.channels import DIRECT

if TYPE_CHECKING:
    from nexus_mesh.core import MeshError
    from nexus_mesh.rpc.middleware import Call

__all__ = ["Trace", "enabled", "inject", "start", "stop"]

Metadata = tuple[tuple[str, str], ...]
_provider: Any = None


def start(service: str, endpoint: str | None) -> None:
    """Sends spans of this process's RPCs to an OTLP gRPC endpoint, if one is given."""
    global _provider  # noqa: PLW0603 - one provider a process, set once at start
    if endpoint is None:
        return
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    _provider = TracerProvider(resource=Resource.create({"service.name": f"nexus-{service}"}))
    exporter = OTLPSpanExporter(endpoint, channel_options=DIRECT)  # pyright: ignore[reportArgumentType] - too narrow
    _provider.add_span_processor(BatchSpanProcessor(exporter))


def stop() -> None:
    """Sends what is still held back."""
    if _provider is not None:
        _provider.shutdown()


def enabled() -> bool:
    return _provider is not None


def inject(metadata: Metadata) -> Metadata:
    """The metadata with the current span's traceparent."""
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return (*metadata, *carrier.items())


class Trace:
    """Middleware: one server span for each RPC, a child of the caller's."""

    def start(self, call: Call) -> None:
        if _provider is None:
            return
        from opentelemetry import context, propagate, trace

        carrier = {
            key: value for key, value in call.context.invocation_metadata() or () if isinstance(value, str)
        }
        parent = propagate.extract(carrier)
        span = _provider.get_tracer("nexus").start_span(call.method, parent, kind=trace.SpanKind.SERVER)
        call.span = span
        context.attach(trace.set_span_in_context(span, parent))

    def end(self, call: Call, error: MeshError | None) -> None:
        if call.span is None:
            return
        from opentelemetry.trace import StatusCode

        if error is not None:
            call.span.set_status(StatusCode.ERROR, error.reason.value)
        call.span.end()
