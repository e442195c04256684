"""GET realtime: a session over a WebSocket. What is not taken is refused by a status of HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from nexus_gateway.access import Principal
from nexus_gateway.dialects.chain import Caller
from nexus_gateway.dialects.own_headers import check_own_headers, demanded_zone, wanted_priority
from nexus_gateway.dialects.realtime.sessions import RealtimePipeline, RealtimeSessions
from nexus_gateway.dialects.realtime.wire import bad
from nexus_gateway.http import KEY_PROTOCOL, EdgeError, Exchange

__all__ = ["RealtimeRoute"]

SPOKEN = "realtime"
"""The subprotocol."""
NORMAL, BROKEN = 1000, 1011
"""Codes of RFC 6455."""


class RealtimeRoute:
    """The handler."""

    def __init__(self, pipeline: RealtimePipeline, sessions: RealtimeSessions) -> None:
        self._pipeline = pipeline
        self._sessions = sessions

    async def connect(self, exchange: Exchange) -> None:
        """Returns when the session has ended. Raises MeshError or EdgeError before the upgrade only."""
        if not exchange.is_socket:
            raise EdgeError(
                "upgrade_required",
                "This URL speaks WebSocket: connect to it with `client.realtime.connect(model=...)`.",
                [(b"upgrade", b"websocket"), (b"connection", b"upgrade")],
            )
        check_own_headers(exchange.fields)
        model, zone = _model(exchange), demanded_zone(exchange)
        caller = Caller(self._again(exchange), zone, wanted_priority(exchange))
        async with self._sessions.place(exchange.caller, model, caller) as run:
            socket = await exchange.accept(_subprotocol(exchange), [])
            try:
                await run(socket, exchange.held)
            except Exception:
                await socket.close(BROKEN, "NEXUS failed on this session.")
                raise
            await socket.close(NORMAL)

    def _again(self, exchange: Exchange) -> Callable[[], Awaitable[Principal]]:
        credential = exchange.credential

        async def now() -> Principal:
            return await self._pipeline.authenticate(credential)

        return now


def _model(exchange: Exchange) -> str:
    asked = parse_qs(exchange.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if "intent" in asked or "call_id" in asked:
        raise bad("Sessions here converse: connect with `?model=` alone.", "intent", "unsupported_parameter")
    named = asked.get("model", [])
    if len(named) != 1 or not named[0]:
        raise bad(
            "Say which model is to answer, once: /v1/realtime?model=NAME.", "model", "missing_parameter"
        )
    return named[0]


def _subprotocol(exchange: Exchange) -> str | None:
    """One that was offered and is no key: browsers want one of theirs."""
    offered: list[str] = [
        each for each in exchange.scope["subprotocols"] if not each.startswith(KEY_PROTOCOL)
    ]
    return SPOKEN if SPOKEN in offered else next(iter(offered), None)
