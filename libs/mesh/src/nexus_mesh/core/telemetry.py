"""Logs as JSON with the request's id, metrics on their own loopback port, traces once an endpoint is set."""

from __future__ import annotations

import logging
import secrets
import sys
from collections.abc import MutableMapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import prometheus_client

from nexus_mesh.core._structlog import structlog

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from structlog.typing import FilteringBoundLogger

__all__ = [
    "current_request_id",
    "logger",
    "new_request_id",
    "serve_metrics",
    "set_request_id",
    "setup_logging",
    "start_tracing",
    "stop_tracing",
    "traced",
    "tracer_provider",
]

_provider: TracerProvider | None = None

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
SECRET_WORDS = ("secret", "token", "password", "credential", "authorization", "key_pem")


def new_request_id() -> str:
    return f"req_{secrets.token_hex(12)}"


def current_request_id() -> str:
    """The id of the request being served, or an empty string."""
    return REQUEST_ID.get()


def set_request_id(request_id: str) -> None:
    REQUEST_ID.set(request_id)


def logger(name: str) -> FilteringBoundLogger:
    """A structured logger: constant messages, values as fields."""
    return structlog.get_logger(component=name)


def setup_logging(service: str, level: str) -> None:
    """One JSON object a line on standard error, for our loggers and the libraries' alike."""
    structlog.configure(
        processors=[
            _add_request_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _leave_out_nothing,
            _mask_secrets,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_encode),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
            foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name],
        )
    )
    handler.addFilter(_is_a_fault)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _is_a_fault(record: logging.LogRecord) -> bool:
    """Whoever leaves while a message is on its way to them is none; gRPC writes a traceback for each."""
    raised = record.exc_info[0] if record.exc_info else None
    return raised is None or raised.__name__ != "ExecuteBatchError"


def start_tracing(service: str, endpoint: str | None, options: Sequence[tuple[str, int | str]]) -> None:
    """Sends spans of this process's RPCs to an OTLP gRPC endpoint, if one is given; `options` of that channel."""
    global _provider  # noqa: PLW0603 - one provider a process, set once at start
    if endpoint is None:
        return
    # Nothing of OpenTelemetry is imported before an endpoint is set.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    _provider = TracerProvider(resource=Resource.create({"service.name": f"nexus-{service}"}))
    exporter = OTLPSpanExporter(endpoint, channel_options=options)  # pyright: ignore[reportArgumentType] - too narrow
    _provider.add_span_processor(BatchSpanProcessor(exporter))


def stop_tracing() -> None:
    """Sends what is still held back."""
    if _provider is not None:
        _provider.shutdown()


def tracer_provider() -> TracerProvider | None:
    """What makes spans; None while traces are off."""
    return _provider


def traced(metadata: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Metadata of a call with the current span's traceparent, where there are traces."""
    if _provider is None:
        return metadata
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return (*metadata, *carrier.items())


def serve_metrics(host: str, port: int) -> int:
    """Serves /metrics in a thread of its own; returns the bound port."""
    server, _ = prometheus_client.start_http_server(port, addr=host)
    return int(server.server_port)


def _add_request_id(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if request_id := REQUEST_ID.get():
        event.setdefault("request_id", request_id)
    return event


def _leave_out_nothing(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A field without a value says no more than a field that is not there, in every line of every request."""
    return {name: value for name, value in event.items() if value is not None}


def _mask_secrets(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in event:
        if _is_secret(name):
            event[name] = "***"
    return event


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in SECRET_WORDS)


def _encode(event: MutableMapping[str, Any], **_: object) -> bytes:
    return msgspec.json.encode(event, enc_hook=lambda value: str(value)[:256])
