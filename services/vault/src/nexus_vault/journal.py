"""Two ways to follow what changes. Neither keeps anything per follower: a slow one costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Generic, TypeVar

__all__ = ["Journal", "Latest", "Synced"]

T = TypeVar("T")


class Latest(Generic[T]):
    """A value. A follower gets it now and after changes; a slow one misses what was replaced meanwhile."""

    def __init__(self, value: T) -> None:
        self.value = value
        self._changed = asyncio.Event()

    def set(self, value: T) -> None:
        """Replaces the value."""
        self.value = value
        self._changed.set()
        self._changed = asyncio.Event()

    async def follow(self) -> AsyncIterator[T]:
        """Never ends."""
        while True:
            changed = self._changed
            yield self.value
            await changed.wait()


class Synced:
    """The marker between what was and what happens."""


class Journal(Generic[T]):
    """Entries, never taken back. A follower gets all in order, with a marker after those there at first."""

    def __init__(self, entries: Iterable[T] = ()) -> None:
        self._entries = list(entries)
        self._grown = asyncio.Event()

    def append(self, entry: T) -> None:
        """Adds an entry and wakes the followers."""
        self._entries.append(entry)
        self._grown.set()
        self._grown = asyncio.Event()

    async def follow(self) -> AsyncIterator[T | Synced]:
        """Never ends."""
        position = len(self._entries)
        for entry in self._entries[:position]:
            yield entry
        yield Synced()
        while True:
            grown = self._grown
            while position < len(self._entries):
                yield self._entries[position]
                position += 1
            await grown.wait()
