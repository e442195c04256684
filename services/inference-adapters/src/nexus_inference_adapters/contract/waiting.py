"""How long a request waits: for its place at a backend, then for what the backend sends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from types import TracebackType
from typing import Self, TypeVar

from nexus_mesh.core import MeshError, Reason
from nexus_mesh.settings import Timeouts

__all__ = ["Gate", "Patience"]

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


T = TypeVar("T")


class Patience:
    """A context manager around one request; `wait` is the only way to wait inside it.

    Time spent elsewhere, such as on a slow client, is not held against the backend. Until `content_came` the
    limit on silence is `silence` seconds, afterwards the stall limit.
    """

    def __init__(self, limits: Timeouts, *, silence: float) -> None:
        self.limits = limits
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + limits.total
        self._waiting_since: float | None = None
        self._task: asyncio.Task[object] | None = None
        self._verdict: MeshError | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._look()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def streams(self) -> None:
        """The answer comes as a stream, whatever was asked for: a first sign of it is due as early as any stream's."""
        self._silence = self.limits.first_token
        self._look()

    def content_came(self) -> None:
        """The answer has begun. Free to call for every chunk."""
        if self._silence != self.limits.stall:
            self._silence = self.limits.stall
            self._look()

    async def wait(self, awaitable: Awaitable[T]) -> T:
        """The awaited value. Raises STREAM_IDLE_TIMEOUT or TIMEOUT when a limit passes first."""
        self._waiting_since = self._loop.time()
        self._task = asyncio.current_task()
        try:
            return await awaitable
        except asyncio.CancelledError:
            if self._verdict is not None and self._task is not None and self._task.uncancel() == 0:
                raise self._verdict from None
            raise
        finally:
            self._waiting_since = None

    def _look(self) -> None:
        """Gives up if a limit has passed, else sleeps until the earliest moment at which one could have."""
        if self._timer is not None:
            self._timer.cancel()
        now = self._loop.time()
        waiting = self._waiting_since is not None
        due = min(self._deadline, (self._waiting_since or now) + self._silence)
        if now < due or not waiting:
            # Outside `wait` a passed deadline is noticed at the next wait.
            self._timer = self._loop.call_at(due if now < due else now + min(1.0, self._silence), self._look)
            return
        self._give_up(TIMED_OUT if now >= self._deadline else SILENT)

    def _give_up(self, verdict: tuple[Reason, str]) -> None:
        reason, message = verdict
        limit = self.limits.total if reason is Reason.TIMEOUT else self._silence
        self._verdict = MeshError(
            reason, message.format(limit=limit), metadata={"limit_seconds": f"{limit:g}"}
        )
        if self._task is not None:
            self._task.cancel()


TIMED_OUT = (
    Reason.TIMEOUT,
    "The request took longer than the {limit:g} seconds allowed in all; [timeouts] total sets it.",
)
SILENT = (
    Reason.STREAM_IDLE_TIMEOUT,
    "The backend sent nothing for {limit:g} seconds; first_token and stall of [timeouts] set the limits.",
)
