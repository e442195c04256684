"""The places of one backend: so many requests run, twice as many wait, the rest are told to come back."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

from nexus_mesh.core import MeshError, Reason

__all__ = ["Gate"]

MAX_WAIT_SECONDS = 10.0
QUEUE_FACTOR = 2
RETRY_SECONDS = 1.0


class Gate:
    """`async with gate:` holds a place. `capacity` 0 = no limit; it may change at any time."""

    def __init__(self, capacity: int = 0) -> None:
        self.active = 0
        self._capacity = capacity
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def capacity(self) -> int:
        return self._capacity

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def resize(self, capacity: int) -> None:
        self._capacity = capacity
        self._admit()

    async def __aenter__(self) -> None:
        if self._has_room() and not self._waiting:
            self.active += 1
            return
        if len(self._waiting) >= QUEUE_FACTOR * self._capacity:
            raise _overload("All places at the backend are taken and its queue is full.")
        await self._queue()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._leave()

    def _has_room(self) -> bool:
        return self._capacity == 0 or self.active < self._capacity

    async def _queue(self) -> None:
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                await place
        except (TimeoutError, asyncio.CancelledError) as error:
            if place.done() and not place.cancelled():
                self._leave()  # it was given a place at the very moment it gave up
            elif place in self._waiting:
                self._waiting.remove(place)
            if isinstance(error, TimeoutError):
                raise _overload(
                    f"No place at the backend came free within {MAX_WAIT_SECONDS:g} seconds."
                ) from None
            raise

    def _leave(self) -> None:
        self.active -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._has_room():
            place = self._waiting.popleft()
            if not place.done():
                self.active += 1
                place.set_result(None)


def _overload(message: str) -> MeshError:
    return MeshError(Reason.OVERLOAD, message, retry_after=RETRY_SECONDS)
