"""Work that stops the loop, done in steps: one owner at a time, and others have most of the time in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from types import TracebackType
from typing import ParamSpec, TypeVar

__all__ = ["OTHERS", "Turns", "at_once"]

OTHERS = 14
"""Times what a step took is everybody else's before the next one."""

T = TypeVar("T")
P = ParamSpec("P")


class Turns:
    """`async with turns:` waits for the turn; then each `step` and `steps` waits until others had their time."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._free_at = 0.0

    async def __aenter__(self) -> None:
        await self._turn.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._turn.release()

    async def step(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` returns or raises."""
        await asyncio.sleep(max(0.0, self._free_at - time.monotonic()))
        began = time.monotonic()
        try:
            return work(*args, **kwargs)
        finally:
            now = time.monotonic()
            self._free_at = now + OTHERS * (now - began)

    async def steps(self, work: Generator[None, None, T]) -> T:
        """The same for work that says itself where it may be left for a while."""
        while True:
            done = await self.step(_next, work)
            if done is not None:
                return done[0]


def at_once(work: Generator[None, None, T]) -> T:
    """Such work without a pause, for what is small."""
    while (done := _next(work)) is None:
        pass
    return done[0]


def _next(work: Generator[None, None, T]) -> tuple[T] | None:
    try:
        next(work)
    except StopIteration as end:
        return (end.value,)
    return None
