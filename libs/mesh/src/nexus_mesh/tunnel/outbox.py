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


class Outbox(Generic[M]):
    """`make` gives an empty message. Whoever gets a frame fills it before giving control away."""

    def __init__(self, make: Callable[[], M]) -> None:
        self._make = make
        self._full: deque[M] = deque()
        self._filling = make()
        self._size = 0
        self._wake = asyncio.Event()
        self._closed = False

    def message(self, size: int) -> M:
        """The message to add a frame of about `size` bytes to."""
        if self._size and self._size + size > BATCH_BYTES:
            self._full.append(self._filling)
            self._filling, self._size = self._make(), 0
        self._size += size + 1
        self._wake.set()
        return self._filling

    def close(self) -> None:
        """Lets run() end once everything is written."""
        self._closed = True
        self._wake.set()

    async def run(self, write: Callable[[M], Awaitable[None]]) -> None:
        """Writes until closed. Ends with whatever `write` raises."""
        while True:
            if self._full:
                await write(self._full.popleft())
            elif self._size:
                message, self._filling, self._size = self._filling, self._make(), 0
                await write(message)
            elif self._closed:
                return
            else:
                self._wake.clear()
                await self._wake.wait()
