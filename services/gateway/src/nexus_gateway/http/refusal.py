"""The answer to what never became a request, as bytes for the socket."""

from __future__ import annotations

from collections.abc import Mapping

from nexus_mesh.core import new_request_id

from nexus_gateway.http.exchange import JSON, OPENAI_VERSION
from nexus_gateway.http.status import EdgeError, SayError, status_of


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
