"""How long one request waits for its backend: one timer a request, none a chunk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Self, TypeVar

from nexus_mesh.core import MeshError, Reason
from nexus_mesh.settings import Timeouts

__all__ = ["Patience"]

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
