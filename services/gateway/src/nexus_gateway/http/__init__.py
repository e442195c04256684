"""The edge: HTTP in, OpenAI's envelope out."""

from nexus_gateway.http.app import build_app, open_intake
from nexus_gateway.http.guard import local_names
from nexus_gateway.http.options import MIB, EdgeOptions, Limits
from nexus_gateway.http.origins import ORIGIN, is_too_wide
from nexus_gateway.http.server import HttpServer, serve_http

__all__ = [
    "MIB",
    "ORIGIN",
    "EdgeOptions",
    "HttpServer",
    "Limits",
    "build_app",
    "is_too_wide",
    "local_names",
    "open_intake",
    "serve_http",
]
