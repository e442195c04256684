"""The rows of the route table: a URL, its handlers, and what /openapi.json and docs/http.md tell of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nexus_mesh.core import JsonObject, MeshError

if TYPE_CHECKING:
    from nexus_gateway.http.endpoint import Exchange

__all__ = ["ALWAYS", "EVENTS", "ON_FAILURE", "Call", "Content", "Handler", "Row"]

Handler = Callable[["Exchange"], Awaitable[None]]
PREFIXES = ("/v1", "")
"""Clients are configured with and without /v1; both work."""

ALWAYS: Mapping[bytes, str] = {
    b"x-request-id": "The request's id: in the logs, and in a report of what went wrong.",
    b"openai-processing-ms": "Milliseconds from the request's head to the answer's.",
    b"openai-version": "The version of OpenAI's API that is spoken.",
}
"""Headers of every answer."""

ON_FAILURE: Mapping[bytes, str] = {
    b"x-should-retry": "Whether the same request is worth sending again. With 408, 409, 429 and 5xx.",
    b"retry-after": "Seconds, from 1 to 120. With 408, 429 and 503.",
    b"www-authenticate": "Bearer. With 401.",
    b"allow": "The methods that the URL takes. With 405.",
}
"""Headers of answers that failed."""

EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Content:
    """A body. `schema`: its type, a JSON Schema, or None = any text. `example`: one that is true to it."""

    schema: type | JsonObject | None
    example: object = None
    media: str = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """One method of a URL. `path`: where the row's own stands for several. `or_body`: in another form. `asked`, `told`:
    headers beside the usual.

    `answers` are those of status 200; `also` of other statuses that are no errors in the envelope, None = no body.
    """

    method: str
    summary: str
    answers: tuple[Content, ...]
    path: str = ""
    body: Content | None = None
    or_body: Content | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[bytes, str] = field(default_factory=dict)
    told: Mapping[bytes, str] = field(default_factory=dict)
    also: Mapping[int, Content | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One URL. `name` labels its metrics; a public row is served without asking who calls.

    `refused` is told of what failed before its handler handed the request on. `calls`: what /openapi.json says of it.
    """

    name: str
    path: str
    handlers: Mapping[str, Handler]
    public: bool = False
    prefixes: tuple[str, ...] = PREFIXES
    refused: Callable[[MeshError], None] | None = None
    calls: tuple[Call, ...] = ()
