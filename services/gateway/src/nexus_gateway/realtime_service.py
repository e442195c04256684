"""Realtime sessions for members of the mesh: the same as over a WebSocket, the caller known by its certificate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
from nexus.inference.v1 import realtime_pb2, realtime_pb2_grpc
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.identity import caller

from nexus_gateway.access import Members, Principal
from nexus_gateway.core import Priority
from nexus_gateway.dialects import Caller, RealtimeSessions
from nexus_gateway.intake import Hold, Intake
from nexus_gateway.validation import check_zone

__all__ = ["RealtimeServicer"]

MOST_UNREAD = 16
"""Events that wait for a caller who is slow to read."""
LARGEST = 4 << 20
Requests = AsyncIterator[realtime_pb2.ConnectRequest]


class RealtimeServicer(realtime_pb2_grpc.RealtimeServiceServicer):
    """nexus.inference.v1.RealtimeService at a gateway."""

    def __init__(self, sessions: RealtimeSessions, members: Members, intake: Intake) -> None:
        self._sessions = sessions
        self._intake = intake
        self._members = members

    async def Connect(
        self, request_iterator: Requests, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[realtime_pb2.ConnectResponse]:
        messages = aiter(request_iterator)
        first = await anext(messages, None)
        if first is None or not first.HasField("start"):
            raise MeshError(Reason.INVALID_REQUEST, "A session begins with `start`.")
        start = first.start
        principal = self._members.principal(caller(), start.on_behalf_of)
        asking = Caller(_now(principal), check_zone(start.zone, "zone"), _priority(start.priority))
        async with self._sessions.place(principal, start.model, asking) as run:
            wire, hold = _Call(messages), Hold(self._intake.bodies, principal.tenant)
            session = asyncio.ensure_future(run(wire, hold))
            session.add_done_callback(wire.end)
            try:
                async for text in wire.told():
                    yield realtime_pb2.ConnectResponse(event=text)
                await session
            finally:
                session.cancel()
                await asyncio.wait({session})
                hold.release()


class _Call:
    """The client of a session, as a call."""

    def __init__(self, messages: Requests) -> None:
        self._messages = messages
        self._unread: asyncio.Queue[str | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(MOST_UNREAD)

    async def receive(self) -> str | None:
        message = await anext(self._messages, None)
        if message is None:
            return None
        if not message.HasField("event") or len(message.event) > LARGEST:
            raise MeshError(
                Reason.INVALID_REQUEST,
                "After `start` come events, of at most 4 MiB each.",
                metadata={"param": "event"},
            )
        return message.event

    async def send(self, text: str) -> None:
        await self._room.acquire()
        self._unread.put_nowait(text)

    async def close(self, code: int, reason: str = "") -> None:
        self._unread.put_nowait(None)

    def end(self, _: asyncio.Task[None]) -> None:
        """The session is over."""
        self._unread.put_nowait(None)

    async def told(self) -> AsyncIterator[str]:
        """What the session says, to its end."""
        while (text := await self._unread.get()) is not None:
            self._room.release()
            yield text


def _now(principal: Principal) -> Callable[[], Awaitable[Principal]]:
    async def now() -> Principal:
        return principal if principal.again is None else principal.again()

    return now


def _priority(given: int) -> Priority:
    try:
        return Priority(given) if given else Priority.NORMAL
    except ValueError:
        raise MeshError(
            Reason.INVALID_REQUEST, "priority must be low, normal or high.", metadata={"param": "priority"}
        ) from None
