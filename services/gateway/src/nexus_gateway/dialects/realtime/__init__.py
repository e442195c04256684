"""OpenAI's Realtime API: a conversation by voice or text over a WebSocket, by a model that listens, one that answers
and one that speaks."""

from __future__ import annotations

from nexus_mesh.core import JsonObject

from nexus_gateway.dialects.chain import Caller
from nexus_gateway.dialects.dialect import Dialect
from nexus_gateway.dialects.errors import error_body
from nexus_gateway.dialects.own_headers import ASKED, PRIORITY, ZONE
from nexus_gateway.dialects.realtime.endpoint import RealtimeRoute
from nexus_gateway.dialects.realtime.session import Wire
from nexus_gateway.dialects.realtime.sessions import RealtimePipeline, RealtimeSessions
from nexus_gateway.http import Call, Content, Row

__all__ = ["REALTIME", "Caller", "RealtimePipeline", "RealtimeSessions", "Wire", "realtime_dialect"]

REALTIME = "/realtime"
"""Its path below the prefixes."""

EVENT: JsonObject = {
    "type": "object",
    "required": ["type"],
    "properties": {"type": {"type": "string"}, "event_id": {"type": "string"}},
}
"""A message in either direction."""

CALL = Call(
    "GET",
    "Converse by text or voice, over a WebSocket that speaks OpenAI's Realtime API. Refused by a status of HTTP.",
    (),
    query={"model": "The model that answers. Who listens and who speaks is told in session.created."},
    asked={name: ASKED[name] for name in (ZONE, PRIORITY)},
    also={101: Content(EVENT, {"type": "session.created", "event_id": "event_1", "session": {}})},
)


def realtime_dialect(pipeline: RealtimePipeline, sessions: RealtimeSessions) -> Dialect:
    route = RealtimeRoute(pipeline, sessions)
    return Dialect(
        [Row("realtime", REALTIME, {"GET": route.connect}, calls=(CALL,), socket=True)], error_body
    )
