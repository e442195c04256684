"""Frames on their way out: those put in while one message is being written travel together in the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from nexus.mesh.v1 import tunnel_pb2

__all__ = ["Outbox"]

M = TypeVar("M", tunnel_pb2.OpenRequest, tunnel_pb2.OpenResponse)

BATCH_BYTES = 256 * 1024
"""Together frames are at most this large, so that a big answer holds up the small ones no longer than it must."""
PAUSE = 0.002
"""Seconds between messages that hold nothing urgent: waking the other side costs more than what it is woken for."""


class Outbox(Generic[M]):
    """`make` gives an empty message. Whoever gets a frame fills it before giving control away."""

    def __init__(self, make: Callable[[], M]) -> None:
        self._make = make
        self._full: deque[M] = deque()
        self._filling = make()
        self._size = 0
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._written = 0.0
        self._closed = False

    def message(self, size: int, *, urgent: bool = True) -> M:
        """The message to add a frame of about `size` bytes to. What is not urgent may wait a moment for company."""
        if self._size and self._size + size > BATCH_BYTES:
            self._full.append(self._filling)
            self._filling, self._size = self._make(), 0
        self._size += size + 1
        if urgent or self._full:
            self._wake.set()
        elif self._timer is None:
            self._timer = self._loop.call_at(self._written + PAUSE, self._come)
        return self._filling

    def close(self) -> None:
        """Lets run() end once everything is written."""
        self._closed = True
        self._wake.set()

    async def run(self, write: Callable[[M], Awaitable[None]]) -> None:
        """Writes until closed. Ends with whatever `write` raises."""
        while self._size or not self._closed:
            await self._wake.wait()
            self._wake.clear()
            self._written = self._loop.time()
            while self._full:
                await write(self._full.popleft())
            if self._size:
                message, self._filling, self._size = self._filling, self._make(), 0
                await write(message)

    def _come(self) -> None:
        self._timer = None
        self._wake.set()
