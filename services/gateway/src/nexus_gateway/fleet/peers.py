"""Connections to adapters: dialled on first use, dropped when the table no longer names them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from nexus_mesh.core import MeshError, Reason
from nexus_mesh.process import Mesh
from nexus_mesh.rpc import Peer
from nexus_routing import Endpoint, State, Table

__all__ = ["Peers", "connecting"]

DROP_GRACE = 35 * 60.0


class Peers:
    """One peer per endpoint."""

    def __init__(self, mesh: Mesh[Any], connect_timeout: float) -> None:
        self._mesh = mesh
        self._connect_timeout = connect_timeout
        self._peers: dict[Endpoint, Peer] = {}
        self._away: set[Endpoint] = set()

    def get(self, endpoint: Endpoint) -> Peer:
        """Raises MeshError BACKEND_DOWN when its identity was withdrawn."""
        if endpoint not in self._peers:
            self._peers[endpoint] = self._mesh.dial(*endpoint)
        return self._peers[endpoint]

    async def connects(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint's connection stands, or can be made in time. Sends no request."""
        try:
            peer = self.get(endpoint)
        except MeshError:
            return False
        return await peer.wait_ready(self._connect_timeout)

    def retain(self, table: Table) -> None:
        """Hangs up on whoever is not in the table, once running requests have ended.

        And on whoever was away and is back, if the connection has not noticed yet: a new one waits for nothing.
        """
        well = {target.endpoint for target in table.targets if target.state == State.ACTIVE}
        away = {target.endpoint for target in table.targets} - well
        stale = {each for each in self._away & well & self._peers.keys() if self._is_down(each)}
        self._away = away
        for gone in (self._peers.keys() - well - away) | stale:
            peer = self._peers.pop(gone)
            self._mesh.spawn(self._mesh.hang_up(peer, DROP_GRACE), name=f"hang up {peer.address}")

    def _is_down(self, endpoint: Endpoint) -> bool:
        return self._peers[endpoint].is_failing


@asynccontextmanager
async def connecting(peer: Peer, seconds: float) -> AsyncIterator[None]:
    """Gives what runs inside `seconds` to get a connection, then no limit. Raises BACKEND_DOWN."""
    if peer.is_ready:
        yield
        return
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
