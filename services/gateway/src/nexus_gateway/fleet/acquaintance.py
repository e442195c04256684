"""Connects to every adapter of the table before a request needs it, and knows which have been reached."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from nexus_mesh.core import Backoff
from nexus_routing import Endpoint, Table

from nexus_gateway.fleet.reachability import Spawn

__all__ = ["Acquaintance"]

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


class Acquaintance:
    """The endpoints a connection has stood to since the start. Whether it still stands, Reachability knows."""

    def __init__(self, connects: Callable[[Endpoint], Awaitable[bool]], spawn: Spawn) -> None:
        self._connects = connects
        self._spawn = spawn
        self._calling: dict[Endpoint, asyncio.Task[Any]] = {}
        self._met: set[Endpoint] = set()

    def has_met(self, endpoint: Endpoint) -> bool:
        return endpoint in self._met

    def retain(self, table: Table) -> None:
        """Calls on whoever is new in the table, and forgets whoever is not in it."""
        named = {target.endpoint for target in table.targets}
        self._met &= named
        for gone in self._calling.keys() - named:
            self._calling.pop(gone).cancel()
        for new in named - self._met - self._calling.keys():
            self._calling[new] = self._spawn(self._call_on(new), name=f"meet {new[0]}")

    async def _call_on(self, endpoint: Endpoint) -> None:
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while not await self._connects(endpoint):
            await backoff.wait()
        self._met.add(endpoint)
        del self._calling[endpoint]
