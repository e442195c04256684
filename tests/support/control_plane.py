"""Pieces of a control plane over real mutual TLS: an etcd of the mesh, services in this process, a watcher."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from cryptography.x509 import ObjectIdentifier
from nexus.registry.v1 import instance_pb2, registry_pb2
from nexus_mesh.core.errors import MeshError
from nexus_mesh.process.mesh import Mesh
from nexus_mesh.process.registration import Registration
from nexus_mesh.rpc.client import Method
from nexus_mesh.rpc.server import start_server
from nexus_mesh.settings.service import ServiceSettings
from support.ca import MeshCA
from support.etcd import EtcdCluster
from support.etcd_certs import EtcdCA, Identity

S = TypeVar("S", bound=ServiceSettings)

REGISTRY = "nexus.registry.v1.RegistryService"
WATCH = Method(REGISTRY, "Watch", registry_pb2.WatchRequest, registry_pb2.WatchResponse)

_ports = itertools.count(20_001)


def settings_of(kind: type[S], **values: Any) -> S:
    """Settings from these values and defaults alone: no environment, no file."""
    return kind.model_validate(values)


class MeshEtcdCA(EtcdCA):
    """Lets etcd have a certificate of the mesh: an identity of role etcd, and no address in it."""

    def __init__(self, ca: MeshCA) -> None:
        self._mesh_ca = ca
        self.certificate = ca.bundle_pem

    def issue(self, name: str, *usages: ObjectIdentifier) -> Identity:
        material = self._mesh_ca.material(self._mesh_ca.spiffe("etcd", name))
        return Identity(material.chain_pem, material.key_pem)


@pytest.fixture
def mesh_ca() -> MeshCA:
    return MeshCA()


@pytest_asyncio.fixture
async def mesh_etcd(tmp_path: Path, mesh_ca: MeshCA) -> AsyncIterator[EtcdCluster]:
    """One running member that only identities of the mesh can talk to."""
    cluster = EtcdCluster(tmp_path, ca=MeshEtcdCA(mesh_ca))
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.stop()


@asynccontextmanager
async def serving(
    mesh: Mesh[S], open_service: Callable[[Mesh[S]], AbstractAsyncContextManager[Any]]
) -> AsyncIterator[str]:
    """Serves in this process; yields host:port. At the end it drains as a service does."""
    async with mesh, open_service(mesh) as servicers:
        server = await start_server(
            servicers, host="127.0.0.1", port=mesh.settings.port, identity=mesh.identity, denied=mesh.denied
        )
        try:
            yield f"127.0.0.1:{server.port}"
        finally:
            mesh.draining.set()
            await server.drain(settle=0, grace=0)


class Member:
    """A service that only registers: what it says of itself is `mesh.status`."""

    def __init__(
        self, ca: MeshCA, home: Path, registry: str, role: str = "adapter", name: str = "box"
    ) -> None:
        settings = settings_of(ServiceSettings, home=home, registry=registry)
        self.mesh = Mesh(settings, ca.identity(role, name))
        self.id = self.mesh.identity.spiffe.instance_id
        self.registration = Registration(
            self.mesh.control("registry"), self.mesh.status, port=next(_ports), version="1"
        )
        self._task = self.mesh.spawn(self.registration.run(), name="registration")

    def say(
        self, *backends: instance_pb2.Backend, state: instance_pb2.State = instance_pb2.STATE_ACTIVE
    ) -> None:
        self.mesh.status.set(instance_pb2.Status(state=state, backends=backends))

    async def leave(self) -> None:
        """An orderly end: deregisters."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.registration.leave()
        await self.crash()

    async def crash(self) -> None:
        """An end without a word: connections break. Safe to call twice."""
        await self.mesh.__aexit__()


class Watcher:
    """Follows a registry as a router does, and notes everything it was told."""

    def __init__(self, ca: MeshCA, home: Path, registry: str) -> None:
        self.mesh = Mesh(settings_of(ServiceSettings, home=home, registry=registry), ca.identity("router"))
        self.rows: dict[str, instance_pb2.Instance] = {}
        self.told: list[registry_pb2.WatchResponse] = []
        self.errors: list[MeshError] = []
        self._request = registry_pb2.WatchRequest()
        self._arriving: dict[str, instance_pb2.Instance] = {}
        self.mesh.spawn(self._follow(), name="watch")

    @property
    def synced(self) -> bool:
        return any(message.HasField("synced") for message in self.told)

    def connected(self, instance_id: str) -> bool | None:
        """As the registry shows it; None when it is not there."""
        row = self.rows.get(instance_id)
        return None if row is None else row.connected

    async def close(self) -> None:
        await self.mesh.__aexit__()

    async def _follow(self) -> None:
        messages = self.mesh.control("registry").follow(WATCH, self._ask, on_error=self._failed)
        async for message in messages:
            self.told.append(message)
            self._apply(message)

    def _ask(self) -> registry_pb2.WatchRequest:
        self._arriving = {}
        return self._request

    def _failed(self, error: MeshError) -> None:
        self.errors.append(error)
        if error.reason == "REVISION_EXPIRED":
            self._request = registry_pb2.WatchRequest()

    def _apply(self, message: registry_pb2.WatchResponse) -> None:
        rows = self.rows if message.revision else self._arriving
        match message.WhichOneof("event"):
            case "put":
                rows[message.put.id] = message.put
            case "delete":
                rows.pop(message.delete, None)
            case _:
                self.rows = self._arriving
        if message.revision:
            self._request = registry_pb2.WatchRequest(epoch=message.epoch, revision=message.revision)
