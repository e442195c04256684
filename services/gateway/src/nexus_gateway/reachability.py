"""Instances whose connection broke get nothing until it stands again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from nexus_mesh import telemetry
from nexus_mesh.backoff import Backoff
from nexus_routing import Endpoint

__all__ = ["Reachability"]

log = telemetry.logger("reachability")
FIRST_LOOK, LONGEST_WAIT = 0.2, 2.0


class Spawn(Protocol):
    """Mesh.spawn."""

    def __call__(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]: ...


class Reachability:
    """Endpoints that lost their connection, each looked after by one background task."""

    def __init__(self, connects: Callable[[Endpoint], Awaitable[bool]], spawn: Spawn) -> None:
        self._connects = connects
        self._spawn = spawn
        self._looking: dict[Endpoint, asyncio.Task[Any]] = {}
        self.unreachable: dict[Endpoint, str] = {}

    def lose(self, endpoint: Endpoint, instance: str) -> None:
        """The connection failed: nothing goes there before it is ready again."""
        if endpoint not in self.unreachable:
            log.warning("instance unreachable", instance=instance, address=endpoint[0])
            self.unreachable[endpoint] = f"the connection to {instance} is lost; being retried"
            self._looking[endpoint] = self._spawn(self._look(endpoint, instance), name=f"reach {instance}")

    def retain(self, endpoints: set[Endpoint]) -> None:
        """Forgets whoever is not among the given."""
        for gone in self.unreachable.keys() - endpoints:
            self._looking.pop(gone).cancel()
            del self.unreachable[gone]

    async def _look(self, endpoint: Endpoint, instance: str) -> None:
        backoff = Backoff(FIRST_LOOK, LONGEST_WAIT)
        # The first look waits too: just after a loss the channel may not have noticed itself yet.
        await backoff.wait()
        while not await self._connects(endpoint):
            await backoff.wait()
        log.info("instance reachable again", instance=instance, address=endpoint[0])
        del self.unreachable[endpoint], self._looking[endpoint]
