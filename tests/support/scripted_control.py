"""A router, a vault and a registry that say what the test tells them, over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from nexus.registry.v1 import instance_pb2, registry_pb2, registry_pb2_grpc
from nexus.router.v1 import router_pb2, router_pb2_grpc, snapshot_pb2
from nexus.vault.v1 import keys_pb2, keys_pb2_grpc, tenants_pb2, tenants_pb2_grpc
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.rpc.server import MeshServer, Servicer, start_server
from support.ca import MeshCA
from support.processes import free_port

__all__ = ["ScriptedRegistry", "ScriptedRouter", "ScriptedVault", "serve_control"]


class ScriptedRouter(router_pb2_grpc.RouterServiceServicer):
    """Pushes whatever show() was last given."""

    def __init__(self) -> None:
        self._snapshot: snapshot_pb2.Snapshot | None = None
        self._version = 0
        self._changed = asyncio.Event()

    def show(self, *targets: snapshot_pb2.Target, **policy: Any) -> None:
        """`policy`: further fields of the snapshot."""
        self._version += 1
        self._snapshot = snapshot_pb2.Snapshot(version=self._version, targets=targets, **policy)
        self._changed.set()
        self._changed = asyncio.Event()

    async def WatchSnapshot(
        self, request: router_pb2.WatchSnapshotRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[router_pb2.WatchSnapshotResponse]:
        while True:
            changed = self._changed
            if self._snapshot is not None:
                yield router_pb2.WatchSnapshotResponse(snapshot=self._snapshot)
            await changed.wait()


class ScriptedVault(keys_pb2_grpc.KeyServiceServicer, tenants_pb2_grpc.TenantServiceServicer):
    """Knows `keys` (secret -> key) and `tenants` (name -> tenant), and tells what was revoked or changed.

    `asked` has the secret of every Authenticate call.
    """

    def __init__(self) -> None:
        self.keys: dict[str, keys_pb2.Key] = {}
        self.tenants: dict[str, tenants_pb2.Tenant] = {}
        self.asked: list[str] = []
        self.delay = 0.0
        self.watchers = 0
        self._told: list[keys_pb2.WatchKeysResponse] = []
        self._changed = asyncio.Event()

    def revoke(self, key_id: str) -> None:
        self._tell(keys_pb2.WatchKeysResponse(revoked_id=key_id))

    def change(self, tenant: str, zone: str) -> None:
        """The tenant demands another zone from now on."""
        changed = self.tenants[tenant]
        changed.zone = zone
        changed.revision += 1
        told = keys_pb2.WatchKeysResponse()
        told.tenant.CopyFrom(changed)
        self._tell(told)

    def show_tenants(self, *tenants: tenants_pb2.Tenant) -> None:
        """These are all there are from now on."""
        self.tenants = {tenant.name: tenant for tenant in tenants}
        self._changed.set()
        self._changed = asyncio.Event()

    async def WatchTenants(
        self, request: tenants_pb2.WatchTenantsRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[tenants_pb2.WatchTenantsResponse]:
        while True:
            changed = self._changed
            yield tenants_pb2.WatchTenantsResponse(tenants=self.tenants.values())
            await changed.wait()

    def _tell(self, event: keys_pb2.WatchKeysResponse) -> None:
        self._told.append(event)
        self._changed.set()
        self._changed = asyncio.Event()

    async def Authenticate(
        self, request: keys_pb2.AuthenticateRequest, context: grpc.aio.ServicerContext
    ) -> keys_pb2.AuthenticateResponse:
        self.asked.append(request.secret)
        await asyncio.sleep(self.delay)
        if request.secret not in self.keys:
            raise MeshError(Reason.CALLER_KEY, "no such key")
        key = self.keys[request.secret]
        return keys_pb2.AuthenticateResponse(key=key, tenant=self.tenants.get(key.tenant))

    async def WatchKeys(
        self, request: keys_pb2.WatchKeysRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[keys_pb2.WatchKeysResponse]:
        sent = len(self._told)
        self.watchers += 1
        try:
            for event in self._told[:sent]:
                yield event
            yield keys_pb2.WatchKeysResponse(synced=keys_pb2.KeysSynced())
            while True:
                changed = self._changed
                while sent < len(self._told):  # more may be told while one is being sent
                    yield self._told[sent]
                    sent += 1
                await changed.wait()
        finally:
            self.watchers -= 1


ROLES = ("router", "vault", "registry")


class ScriptedRegistry(registry_pb2_grpc.RegistryServiceServicer):
    """Lists `instances`, and one at each of `members`, addresses by role; `asked` counts how often it was."""

    def __init__(self) -> None:
        self.instances: list[instance_pb2.Instance] = []
        self.members: dict[str, list[str]] = {}
        self.asked = 0

    async def List(
        self, request: registry_pb2.ListRequest, context: grpc.aio.ServicerContext
    ) -> registry_pb2.ListResponse:
        self.asked += 1
        found = [one for one in self.instances if request.role in ("", one.role)]
        status = instance_pb2.Status(state=instance_pb2.STATE_ACTIVE)
        found += [
            instance_pb2.Instance(
                id=f"n1/{role}/{at}", role=role, address=address, connected=True, status=status
            )
            for role, addresses in self.members.items()
            if request.role in ("", role)
            for at, address in enumerate(addresses)
        ]
        return registry_pb2.ListResponse(instances=found)


class Control:
    """A scripted router, vault and registry on fixed ports, which can be stopped and started again."""

    def __init__(self, ca: MeshCA) -> None:
        self.router, self.vault, self.registry = ScriptedRouter(), ScriptedVault(), ScriptedRegistry()
        self.ports = {role: free_port() for role in ROLES}
        self._ca = ca
        self._running: dict[str, MeshServer] = {}

    async def start(self, role: str) -> None:
        servicers = {
            "router": [Servicer(self.router, router_pb2_grpc.add_RouterServiceServicer_to_server)],
            "registry": [Servicer(self.registry, registry_pb2_grpc.add_RegistryServiceServicer_to_server)],
            "vault": [
                Servicer(self.vault, keys_pb2_grpc.add_KeyServiceServicer_to_server),
                Servicer(self.vault, tenants_pb2_grpc.add_TenantServiceServicer_to_server),
            ],
        }
        identity = self._ca.identity(role)
        self._running[role] = await start_server(
            servicers[role], host="127.0.0.1", port=self.ports[role], identity=identity, denied=set()
        )

    async def stop(self, role: str) -> None:
        server = self._running.pop(role, None)
        if server is not None:
            await server.drain(settle=0, grace=0)


@asynccontextmanager
async def serve_control(ca: MeshCA) -> AsyncIterator[Control]:
    """All running."""
    control = Control(ca)
    for role in ROLES:
        await control.start(role)
    try:
        yield control
    finally:
        for role in ROLES:
            await control.stop(role)
