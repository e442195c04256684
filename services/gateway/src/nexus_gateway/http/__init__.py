"""HTTP as transport: connections, framing, limits, who may call, one request and its answer. It knows no dialect."""

from nexus_gateway.http.described import ALWAYS, EVENTS, ON_FAILURE, Call, Content
from nexus_gateway.http.endpoint import Endpoint, Handler, Row, SlashRouter, Strangers
from nexus_gateway.http.exchange import DONE, Exchange, beat, check_media_type
from nexus_gateway.http.guard import ORIGIN, HostGuard, Origins, is_too_wide, local_names
from nexus_gateway.http.options import MIB, EdgeOptions, Limits
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

__all__ = [
    "ALWAYS",
    "CODES",
    "DONE",
    "EDGE",
    "EVENTS",
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
    "check_media_type",
    "code_of",
    "is_too_wide",
    "local_names",
    "serve_http",
]
