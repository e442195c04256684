"""What a service gets to work with: its settings, its identity, its peers, its background tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Generic, Literal, Never, Self, TypeVar

from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_mesh.identity import Denials, Identity, role_server_name
from nexus_mesh.process.registration import StatusBoard
from nexus_mesh.rpc import Peer
from nexus_mesh.settings import ServiceSettings

__all__ = ["Mesh"]

S = TypeVar("S", bound=ServiceSettings)
T = TypeVar("T")
log = telemetry.logger("mesh")


class Mesh(Generic[S]):
    """One process's place in the mesh. An async context manager: leaving it ends its tasks and connections."""

    def __init__(self, settings: S, identity: Identity) -> None:
        self.settings = settings
        self.identity = identity
        self.status = StatusBoard()
        self.draining = asyncio.Event()
        self.denied = Denials()
        self.denied.subscribe(self._hang_up_on_denied)
        self._peers: dict[tuple[str, str], Peer] = {}
        self._tasks: set[asyncio.Task[object]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(peer.close() for peer in self._peers.values()), return_exceptions=True)

    def dial(self, address: str, server_name: str) -> Peer:
        """The peer at an address, whose certificate must carry the name. One per pair; connects on first use.

        Raises MeshError BACKEND_DOWN when the identity of that name was withdrawn.
        """
        key = (address, server_name)
        if self.denied.has_server(server_name):
            raise MeshError(Reason.BACKEND_DOWN, "The identity of this service has been withdrawn.")
        if key not in self._peers:
            self._peers[key] = Peer(address, server_name, self.identity)
        return self._peers[key]

    async def hang_up(self, peer: Peer, grace: float) -> None:
        """Forgets a peer and closes it once its calls have ended."""
        key = (peer.address, peer.server_name)
        if self._peers.get(key) is peer:
            del self._peers[key]
        await peer.close(grace)

    def _hang_up_on_denied(self) -> None:
        """Ends at once what runs at peers that were withdrawn."""
        for key in [key for key in self._peers if self.denied.has_server(key[1])]:
            peer = self._peers.pop(key)
            log.warning("hung up on a withdrawn identity", address=peer.address, server_name=peer.server_name)
            self.spawn(peer.close(), name=f"hang up {peer.address}")

    def control(self, role: Literal["registry", "router", "vault"]) -> Peer:
        """The control service of a role, at the address the settings give."""
        return self.dial(
            getattr(self.settings, role), role_server_name(role, self.identity.spiffe.trust_domain)
        )

    def spawn(self, coroutine: Coroutine[object, Never, T], *, name: str) -> asyncio.Task[T]:
        """Runs a background task for as long as the process lives; if it dies, that is logged."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("background task died", task=task.get_name(), exc_info=task.exception())
