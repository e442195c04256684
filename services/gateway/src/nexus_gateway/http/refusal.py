"""The answer to what never became a request: a parser's error in our words, and as bytes for the socket."""

from __future__ import annotations

import re
from collections.abc import Mapping

import httptools
from nexus_mesh.core import new_request_id

from nexus_gateway.http.endpoint import JSON, OPENAI_VERSION
from nexus_gateway.http.heads import FRAMING
from nexus_gateway.http.status import EdgeError, SayError, status_of

# A method the parser does not know. Where one it knows stands first, what it choked on came after that request.
_METHOD = re.compile(rb"(?!(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) )[A-Za-z]{2,20} /")
_HEADER = "A header line is not valid HTTP."

_PARSER_TEXTS: tuple[tuple[str, str, str], ...] = (
    ("Content-Length", "bad_framing", FRAMING),
    ("Transfer-Encoding", "bad_framing", FRAMING),
    ("chunk", "bad_framing", FRAMING),
    ("Chunk", "bad_framing", FRAMING),
    ("Invalid HTTP version", "http_version", "This gateway speaks HTTP/1.1."),
    ("header", "bad_header", _HEADER),
    ("CR", "bad_header", _HEADER),
)
"""Words in the parser's message -> name in EDGE and our message; the first match counts."""


def explain(error: Exception, data: bytes) -> EdgeError:
    """What to answer to a parser's error at `data`. Its own text is matched, never shown."""
    if isinstance(error.__context__, EdgeError):
        return error.__context__
    if isinstance(error, httptools.HttpParserInvalidMethodError) and _METHOD.match(data):
        message = "That is not a method of this gateway. Use GET or POST."
        return EdgeError("method_not_allowed", message, [(b"allow", b"GET, HEAD, POST")])
    text = str(error)
    for words, name, message in _PARSER_TEXTS:
        if words in text:
            return EdgeError(name, message)
    return EdgeError("bad_request", "This is not an HTTP/1.1 request.")


def refusal_bytes(error: EdgeError, say_error: SayError, status_lines: Mapping[int, bytes]) -> bytes:
    """A whole HTTP/1.1 response, which ends the connection."""
    body = say_error(error, False)
    status, headers = status_of(error)
    headers += (
        (b"content-type", JSON),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", new_request_id().encode()),
        (b"openai-processing-ms", b"0"),
        OPENAI_VERSION,
        (b"connection", b"close"),
    )
    lines = b"".join(b"%s: %s\r\n" % header for header in headers)
    return b"".join((status_lines[status], lines, b"\r\n", body))
