"""Members of a role as the registry knows them, for who has no address of theirs in its settings."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from nexus.registry.v1 import instance_pb2, registry_pb2

from nexus_mesh.core import MeshError
from nexus_mesh.identity import role_server_name
from nexus_mesh.process.mesh import Mesh
from nexus_mesh.rpc import Method, Peer

__all__ = ["Finder", "Found"]

LIST = Method(
    "nexus.registry.v1.RegistryService", "List", registry_pb2.ListRequest, registry_pb2.ListResponse
)
FRESH_SECONDS = 2.0
TIMEOUT = 3.0
MOST = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """One of them. Its zone is what its certificate said when it registered."""

    id: str
    zone: str
    peer: Peer


class Finder:
    """Of a role whose certificates carry the role's own name, so that no row can send calls to anybody else."""

    def __init__(self, mesh: Mesh[Any], role: str) -> None:
        self._mesh = mesh
        self._role = role
        self._known: list[Found] = []
        self._asked = float("-inf")

    async def all(self) -> list[Found]:
        """Those that are up, by id. While the registry does not answer: those known before.

        Raises MeshError when it does not, and none is known.
        """
        if time.monotonic() - self._asked > FRESH_SECONDS or not self._known:
            try:
                self._known = await self._look()
            except MeshError:
                if not self._known:
                    raise
            self._asked = time.monotonic()
        return self._known

    async def _look(self) -> list[Found]:
        request = registry_pb2.ListRequest(role=self._role, page_size=MOST)
        answer = await self._mesh.control("registry").unary(LIST, request, timeout=TIMEOUT)
        name = role_server_name(self._role, self._mesh.identity.spiffe.trust_domain)
        return [
            Found(row.id, row.zone, self._mesh.dial(row.address, name))
            for row in sorted(answer.instances, key=lambda row: row.id)
            if row.connected and row.status.state == instance_pb2.STATE_ACTIVE
        ]
