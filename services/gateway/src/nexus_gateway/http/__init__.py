"""HTTP as transport: connections, framing, limits, who may call, one request and its answer. It knows no dialect."""

from nexus_gateway.http.endpoint import DONE, JSON, Endpoint, Exchange, SlashRouter, beat
from nexus_gateway.http.heads import (
    ORIGIN,
    HostGuard,
    Origins,
    check_form,
    check_media_type,
    is_form,
    is_too_wide,
    local_names,
)
from nexus_gateway.http.options import MIB, EdgeOptions, Limits
from nexus_gateway.http.rows import ALWAYS, EVENTS, ON_FAILURE, Call, Content, Handler, Row
from nexus_gateway.http.server import HttpServer, serve_http
from nexus_gateway.http.status import (
    CODES,
    EDGE,
    REASONS,
    Answer,
    EdgeError,
    Failure,
    Header,
    SayError,
    answer_to,
    code_of,
)
from nexus_gateway.http.strangers import Strangers

__all__ = [
    "ALWAYS",
    "CODES",
    "DONE",
    "EDGE",
    "EVENTS",
    "JSON",
    "MIB",
    "ON_FAILURE",
    "ORIGIN",
    "REASONS",
    "Answer",
    "Call",
    "Content",
    "EdgeError",
    "EdgeOptions",
    "Endpoint",
    "Exchange",
    "Failure",
    "Handler",
    "Header",
    "HostGuard",
    "HttpServer",
    "Limits",
    "Origins",
    "Row",
    "SayError",
    "SlashRouter",
    "Strangers",
    "answer_to",
    "beat",
    "check_form",
    "check_media_type",
    "code_of",
    "is_form",
    "is_too_wide",
    "local_names",
    "serve_http",
]
