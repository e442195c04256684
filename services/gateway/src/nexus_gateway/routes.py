"""The route table of the edge: the rows of all dialects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from starlette.routing import Match, Route
from starlette.types import ASGIApp, Scope

from nexus_gateway.access import Principal
from nexus_gateway.dialects import (
    REALTIME,
    Dialect,
    NexusPipeline,
    OpenAIPipeline,
    RealtimePipeline,
    RealtimeSessions,
    error_body,
    nexus_dialect,
    openai_dialect,
    openapi_row,
    realtime_dialect,
    unknown_url,
)
from nexus_gateway.http import (
    PREFIXES,
    EdgeOptions,
    Endpoint,
    Exchange,
    HostGuard,
    Limits,
    Origins,
    Row,
    SayError,
    SlashRouter,
    Strangers,
)
from nexus_gateway.intake import SPOOL_BYTES, BodyBudget, Intake

__all__ = ["METHODS", "SOCKETS", "EdgePipeline", "build_app", "open_intake"]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


SOCKETS = tuple(prefix + REALTIME for prefix in PREFIXES)
"""Paths that may become WebSockets."""


class SocketRoute(Route):
    """One URL by plain HTTP and as a WebSocket: who asks in vain for the one is told of the other."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return super().matches({**scope, "type": "http", "method": scope.get("method", "GET")})


class EdgePipeline(OpenAIPipeline, NexusPipeline, RealtimePipeline, Protocol):
    """What the edge asks of the rest of the gateway."""

    async def authenticate(self, credential: str | None) -> Principal: ...


def open_intake(limits: Limits, *, fetches: bool = False) -> Intake:
    """Room for bodies, as the limits have it. `fetches`: whether what they name by URL is fetched."""
    return Intake(
        BodyBudget(limits.bodies_bytes, limits.tenant_share, limits.body_wait_seconds),
        BodyBudget(limits.spool_bytes, limits.tenant_share, limits.body_wait_seconds, SPOOL_BYTES),
        fetches=fetches,
    )


def build_app(
    pipeline: EdgePipeline,
    options: EdgeOptions | None = None,
    intake: Intake | None = None,
    sessions: RealtimeSessions | None = None,
) -> ASGIApp:
    """The edge as an ASGI application. `intake` and `sessions`: shared with other doors."""
    options = options or EdgeOptions()
    taken_in = intake or open_intake(options.limits)
    guard = HostGuard(options.allowed_hosts)
    origins = Origins(options.origins, refuses=not options.needs_key)
    strangers = Strangers()

    def endpoint(row: Row, say_error: SayError) -> Endpoint:
        return Endpoint(
            row,
            say_error,
            guard=guard,
            origins=origins,
            bodies=taken_in.bodies,
            strangers=strangers,
            authenticate=pipeline.authenticate,
        )

    dialects = (
        openai_dialect(pipeline, taken_in, options),
        nexus_dialect(pipeline, taken_in, options),
        realtime_dialect(pipeline, sessions or RealtimeSessions(pipeline)),
    )
    rows = list(_rows(dialects))
    rows.append((openapi_row([row for row, _ in rows], needs_key=options.needs_key), error_body))
    routes = [
        (SocketRoute if row.socket else Route)(prefix + row.path, endpoint(row, say_error))
        for row, say_error in rows
        for prefix in row.prefixes
    ]
    unknown = Row("unknown", "", dict.fromkeys(METHODS, _unknown_url), public=True)
    return SlashRouter(routes, redirect_slashes=False, default=endpoint(unknown, error_body))


def _rows(dialects: Iterable[Dialect]) -> Iterable[tuple[Row, SayError]]:
    """One row for each URL; where several dialects have it, the first one says what failed."""
    found: dict[str, tuple[Row, SayError]] = {}
    for dialect in dialects:
        for row in dialect.rows:
            known, say_error = found.get(row.path, (row, dialect.say_error))
            merged = known.calls if known is row else known.calls + row.calls
            found[row.path] = (
                replace(known, handlers={**known.handlers, **row.handlers}, calls=merged),
                say_error,
            )
    return found.values()


async def _unknown_url(_: Exchange) -> None:
    raise unknown_url()
