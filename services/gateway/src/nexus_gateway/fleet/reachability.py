"""Instances whose connection broke get nothing until it stands again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, Protocol

from nexus_mesh.core import Backoff, telemetry
from nexus_routing import Endpoint

__all__ = ["Reachability"]

log = telemetry.logger("reachability")
FIRST_LOOK, LONGEST_WAIT = 0.2, 0.5


class Spawn(Protocol):
    """Mesh.spawn."""

    def __call__(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]: ...


class Reachability:
    """Endpoints that lost their connection, each looked after by one background task."""

    def __init__(self, connects: Callable[[Endpoint], Awaitable[bool]], spawn: Spawn) -> None:
        self._connects = connects
        self._spawn = spawn
        self._looking: dict[Endpoint, asyncio.Task[Any]] = {}
        self._hints: dict[Endpoint, asyncio.Event] = {}
        self.unreachable: dict[Endpoint, str] = {}

    def lose(self, endpoint: Endpoint, instance: str) -> None:
        """The connection failed: nothing goes there before it is ready again."""
        if endpoint not in self.unreachable:
            log.warning("instance unreachable", instance=instance, address=endpoint[0])
            self.unreachable[endpoint] = f"the connection to {instance} is lost; being retried"
            self._hints[endpoint] = asyncio.Event()
            self._looking[endpoint] = self._spawn(self._look(endpoint, instance), name=f"reach {instance}")

    def look_now(self, endpoints: Iterable[Endpoint]) -> None:
        """They have been heard of: whoever is looked for among them is looked for at once."""
        for endpoint in endpoints:
            if endpoint in self._hints:
                self._hints[endpoint].set()

    def retain(self, endpoints: set[Endpoint]) -> None:
        """Forgets whoever is not among the given."""
        for gone in self.unreachable.keys() - endpoints:
            self._looking.pop(gone).cancel()
            del self.unreachable[gone], self._hints[gone]

    async def _look(self, endpoint: Endpoint, instance: str) -> None:
        backoff = Backoff(FIRST_LOOK, LONGEST_WAIT)
        # The first look waits too: just after a loss the channel may not have noticed itself yet.
        await self._pause(endpoint, backoff)
        while not await self._connects(endpoint):
            await self._pause(endpoint, backoff)
        log.info("instance reachable again", instance=instance, address=endpoint[0])
        del self.unreachable[endpoint], self._looking[endpoint], self._hints[endpoint]

    async def _pause(self, endpoint: Endpoint, backoff: Backoff) -> None:
        hint = self._hints[endpoint]
        with suppress(TimeoutError):
            async with asyncio.timeout(backoff.next()):
                await hint.wait()
        hint.clear()
