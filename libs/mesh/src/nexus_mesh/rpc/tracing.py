"""The middleware of traces, which stands before the others of a process that has an endpoint to send them to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_mesh.core import MeshError
from nexus_mesh.rpc.middleware import Call, Middleware

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["Trace"]


class Trace(Middleware):
    """One server span for each RPC, a child of the caller's."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider

    def start(self, call: Call) -> None:
        from opentelemetry import context, propagate, trace

        carrier = {
            key: value for key, value in call.context.invocation_metadata() or () if isinstance(value, str)
        }
        parent = propagate.extract(carrier)
        span = self._provider.get_tracer("nexus").start_span(call.method, parent, kind=trace.SpanKind.SERVER)
        call.span = span
        context.attach(trace.set_span_in_context(span, parent))

    def end(self, call: Call, error: MeshError | None) -> None:
        if call.span is None:
            return
        from opentelemetry.trace import StatusCode

        if error is not None:
            call.span.set_status(StatusCode.ERROR, error.reason.value)
        call.span.end()
