"""A file on its way out, or a range of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from nexus_store.contents import Reader
from nexus_store.failures import damaged, told
from nexus_store.types import Object

__all__ = ["BLOCK", "Outgoing"]

BLOCK = 1 << 20
"""Bytes that are read at once."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """`length` bytes of a file."""

    object: Object
    length: int
    reader: Reader
    check: Callable[[], None]
    """Raises MeshError once the file may not be read on."""

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """Raises INTERNAL at the end of a whole file whose bytes changed, STORE_UNAVAILABLE."""
        digest = hashlib.sha256() if self.length == self.object.size else None
        left = self.length
        reading: asyncio.Task[bytes] | None = None
        try:
            while left:
                reading = asyncio.create_task(asyncio.to_thread(self._read, min(left, BLOCK), digest))
                with told():
                    block = await asyncio.shield(reading)
                self.check()
                if not block:
                    raise damaged()
                left -= len(block)
                if not left and digest is not None and digest.digest() != self.object.sha256:
                    raise damaged()  # before its last bytes: what was sent is seen to be cut off
                yield block
        finally:
            if reading is not None:
                await asyncio.wait({reading})
            self.reader.close()

    def _read(self, length: int, digest: hashlib._Hash | None) -> bytes:
        block = self.reader.read(length)
        if digest is not None:
            digest.update(block)
        return block
