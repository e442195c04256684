"""The sessions of a gateway: who may open one, with which model, and how many."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

from nexus_mesh.core import MeshError, Reason
from nexus_operations import Operation
from prometheus_client import Gauge

from nexus_gateway.access import Principal
from nexus_gateway.detecting import Detector, can_detect
from nexus_gateway.dialects.casting import Parts, as_kept, parts_of
from nexus_gateway.dialects.chain import Caller, Chain, Streaming
from nexus_gateway.dialects.dialect import ModelRow
from nexus_gateway.dialects.realtime.machine import Machine
from nexus_gateway.dialects.realtime.session import LONGEST_SECONDS, Session, Wire
from nexus_gateway.dialects.realtime.wire import new_id
from nexus_gateway.intake import Hold

__all__ = ["RealtimePipeline", "RealtimeSessions"]

MOST, MOST_EACH = 256, 32
"""Sessions of all, and of one key."""
RETRY_AFTER = 5.0

SESSIONS = Gauge("nexus_gateway_realtime_sessions", "Realtime sessions that are open.")


class RealtimePipeline(Streaming, Protocol):
    """What this dialect asks of the rest of the gateway."""

    async def authenticate(self, credential: str | None) -> Principal: ...

    def models(self, principal: Principal | None = None) -> Iterable[ModelRow]: ...

    def model(self, name: str, principal: Principal) -> ModelRow: ...


class RealtimeSessions:
    """One for all doors of a gateway."""

    def __init__(self, pipeline: RealtimePipeline) -> None:
        self._pipeline = pipeline
        self._detector = Detector()
        self._open: Counter[str] = Counter()

    @asynccontextmanager
    async def place(
        self, principal: Principal, model: str, caller: Caller
    ) -> AsyncIterator[Callable[[Wire, Hold], Awaitable[None]]]:
        """Room for a session; give what was got a client, and it runs until that one leaves. Its hold is of the room
        that there is for what clients send.

        Raises MODEL_NOT_FOUND, CAPABILITY_MISSING, RATE_LIMIT or OVERLOAD before anything was said.
        """
        if Operation.CHAT not in self._pipeline.model(model, principal).operations:
            raise MeshError(
                Reason.CAPABILITY_MISSING,
                f"The model {model[:64]!r} does not chat: a session needs one that does.",
                metadata={"param": "model"},
            )
        self._admit(principal.id)
        self._open[principal.id] += 1
        try:
            with SESSIONS.track_inprogress():
                yield partial(self._run, principal, model, caller)
        finally:
            self._open[principal.id] -= 1
            if not self._open.total():
                await self._detector.close()  # nobody else needs its memory

    async def _run(self, principal: Principal, model: str, caller: Caller, wire: Wire, hold: Hold) -> None:
        inside = as_kept(principal, caller.zone)

        def look() -> Parts:
            return parts_of(self._pipeline.models(inside), detects=can_detect())

        machine = Machine(new_id("sess"), model, look, int(time.time() + LONGEST_SECONDS))
        await Session(wire, machine, Chain(self._pipeline, caller), self._detector, hold).run()

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
