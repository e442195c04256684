"""Connections to adapters: made before they are needed, given up on when lost, looked for again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Protocol

from nexus_mesh.core import Backoff, MeshError, Reason, telemetry
from nexus_mesh.rpc import Peer
from nexus_routing import Endpoint, State, Table

__all__ = ["CONNECTED", "Acquaintance", "Peers", "Reachability", "connecting"]

DROP_GRACE = 35 * 60.0


class Dialler(Protocol):
    """What is needed of Mesh."""

    def dial(self, address: str, server_name: str) -> Peer: ...

    async def hang_up(self, peer: Peer, grace: float) -> None: ...

    def spawn(self, coroutine: Coroutine[object, object, None], *, name: str) -> asyncio.Task[None]: ...


class Peers(dict[Endpoint, Peer]):
    """One peer per endpoint, dialled when `peers[endpoint]` is first asked for.

    That raises MeshError BACKEND_DOWN when its identity was withdrawn.
    """

    def __init__(self, mesh: Dialler, connect_timeout: float) -> None:
        super().__init__()
        self._mesh = mesh
        self._connect_timeout = connect_timeout
        self._away: set[Endpoint] = set()

    def __missing__(self, endpoint: Endpoint) -> Peer:
        peer = self[endpoint] = self._mesh.dial(*endpoint)
        return peer

    async def connects(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint's connection stands, or can be made in time. Sends no request."""
        try:
            peer = self[endpoint]
        except MeshError:
            return False
        return await peer.wait_ready(self._connect_timeout)

    def retain(self, table: Table) -> None:
        """Hangs up on whoever is not in the table, once running requests have ended.

        And on whoever was away and is back, if the connection has not noticed yet: a new one waits for nothing.
        """
        well = {target.endpoint for target in table.targets if target.state == State.ACTIVE}
        away = {target.endpoint for target in table.targets} - well
        stale = {each for each in self._away & well & self.keys() if self._is_down(each)}
        self._away = away
        for gone in (self.keys() - well - away) | stale:
            peer = self.pop(gone)
            self._mesh.spawn(self._mesh.hang_up(peer, DROP_GRACE), name=f"hang up {peer.address}")

    def _is_down(self, endpoint: Endpoint) -> bool:
        return self[endpoint].is_failing


CONNECTED = nullcontext()
"""In the place of connecting() where the connection stands."""


@asynccontextmanager
async def connecting(peer: Peer, seconds: float) -> AsyncIterator[None]:
    """Gives what runs inside `seconds` to get a connection, then no limit. Raises BACKEND_DOWN."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as scope:
            look = loop.call_later(seconds, _end_unless_ready, peer, scope)
            try:
                yield
            finally:
                look.cancel()
    except TimeoutError:
        raise MeshError(
            Reason.BACKEND_DOWN, f"No connection within {seconds:g} s.", metadata={"transport": "1"}
        ) from None


def _end_unless_ready(peer: Peer, scope: asyncio.Timeout) -> None:
    if not peer.is_ready:
        scope.reschedule(asyncio.get_running_loop().time())


log = telemetry.logger("reachability")
FIRST_LOOK, LONGEST_WAIT = 0.2, 0.5


class Spawn(Protocol):
    """Mesh.spawn."""

    def __call__(self, coroutine: Coroutine[object, object, None], *, name: str) -> asyncio.Task[None]: ...


class Reachability:
    """Endpoints that lost their connection, each looked after by one background task."""

    def __init__(self, connects: Callable[[Endpoint], Awaitable[bool]], spawn: Spawn) -> None:
        self._connects = connects
        self._spawn = spawn
        self._looking: dict[Endpoint, asyncio.Task[None]] = {}
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


FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


class Acquaintance:
    """The endpoints a connection has stood to since the start. Whether it still stands, Reachability knows."""

    def __init__(self, connects: Callable[[Endpoint], Awaitable[bool]], spawn: Spawn) -> None:
        self._connects = connects
        self._spawn = spawn
        self._calling: dict[Endpoint, asyncio.Task[None]] = {}
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
