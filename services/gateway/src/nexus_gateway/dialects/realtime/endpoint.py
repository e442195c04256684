"""GET realtime: who may open a session, with which model, and how many."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol
from urllib.parse import parse_qs

from nexus_mesh.core import MeshError, Reason
from nexus_operations import Operation
from prometheus_client import Gauge

from nexus_gateway.access import Principal
from nexus_gateway.detecting import Detector, can_detect
from nexus_gateway.dialects.casting import Able, Parts, as_kept, parts_of
from nexus_gateway.dialects.chain import Caller, Chain, Streaming
from nexus_gateway.dialects.own_headers import check_own_headers, demanded_zone, wanted_priority
from nexus_gateway.dialects.realtime.machine import Machine
from nexus_gateway.dialects.realtime.session import LONGEST_SECONDS, Session
from nexus_gateway.dialects.realtime.wire import bad, new_id
from nexus_gateway.http import KEY_PROTOCOL, EdgeError, Exchange

__all__ = ["RealtimePipeline", "RealtimeRoute"]

MOST, MOST_EACH = 256, 32
"""Sessions of all, and of one key."""
RETRY_AFTER = 5.0
SPOKEN = "realtime"
"""The subprotocol."""
NORMAL = 1000

SESSIONS = Gauge("nexus_gateway_realtime_sessions", "Realtime sessions that are open.")


class RealtimePipeline(Streaming, Protocol):
    """What this dialect asks of the rest of the gateway."""

    async def authenticate(self, credential: str | None) -> Principal: ...

    def models(self, principal: Principal | None = None) -> Iterable[Able]: ...

    def model(self, name: str, principal: Principal) -> Able: ...


class RealtimeRoute:
    """The handler."""

    def __init__(self, pipeline: RealtimePipeline) -> None:
        self._pipeline = pipeline
        self._detector = Detector()
        self._open: Counter[str] = Counter()

    async def connect(self, exchange: Exchange) -> None:
        """Refuses by a status of HTTP what it does not take."""
        if not exchange.is_socket:
            raise EdgeError(
                "upgrade_required",
                "This URL speaks WebSocket: connect to it with `client.realtime.connect(model=...)`.",
                [(b"upgrade", b"websocket"), (b"connection", b"upgrade")],
            )
        check_own_headers(exchange.fields)
        model, zone = _model(exchange), demanded_zone(exchange)
        caller = Caller(self._again(exchange), zone, wanted_priority(exchange))
        look = self._look(exchange.caller, zone)
        row = self._pipeline.model(model, exchange.caller)
        if Operation.CHAT not in row.operations:
            raise MeshError(
                Reason.CAPABILITY_MISSING,
                f"The model {model[:64]!r} does not chat: a session needs one that does.",
                metadata={"param": "model"},
            )
        owner = exchange.caller.id
        self._admit(owner)
        self._open[owner] += 1
        try:
            with SESSIONS.track_inprogress():
                session_id = new_id("sess")
                machine = Machine(session_id, model, look, int(time.time() + LONGEST_SECONDS))
                socket = await exchange.accept(_subprotocol(exchange), [])
                try:
                    await Session(socket, machine, Chain(self._pipeline, caller), self._detector).run()
                finally:
                    await socket.close(NORMAL)
        finally:
            self._open[owner] -= 1
            if not self._open.total():
                await self._detector.close()  # nobody else needs its memory

    def _admit(self, owner: str) -> None:
        if self._open[owner] >= MOST_EACH:
            raise MeshError(
                Reason.RATE_LIMIT,
                f"This key has {MOST_EACH} realtime sessions open, and one may have no more. Close one.",
                retry_after=RETRY_AFTER,
            )
        if self._open.total() >= MOST:
            raise MeshError(
                Reason.OVERLOAD,
                f"This gateway has {MOST} realtime sessions open. Try again later.",
                retry_after=RETRY_AFTER,
            )
        self._open += Counter()  # forgets who has none

    def _again(self, exchange: Exchange) -> Callable[[], Awaitable[Principal]]:
        credential = exchange.credential

        async def now() -> Principal:
            return await self._pipeline.authenticate(credential)

        return now

    def _look(self, principal: Principal, zone: str | None) -> Callable[[], Parts]:
        inside = as_kept(principal, zone)

        def look() -> Parts:
            return parts_of(self._pipeline.models(inside), detects=can_detect())

        return look


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
