"""Puts the registry together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from nexus.registry.v1.instance_pb2 import Instance
from nexus.registry.v1.registry_pb2_grpc import add_RegistryServiceServicer_to_server
from nexus_mesh.identity import role_server_name
from nexus_mesh.process import Mesh, Servicer
from nexus_mesh.rows import RowGuard

from nexus_registry import metrics
from nexus_registry.config import RegistrySettings
from nexus_registry.denied_rows import DeniedRows
from nexus_registry.directory import Directory
from nexus_registry.instances import INSTANCES
from nexus_registry.service import RegistryServicer
from nexus_registry.store import Store
from nexus_registry.table import Table


@asynccontextmanager
async def open_registry(mesh: Mesh[RegistrySettings]) -> AsyncIterator[Sequence[Servicer]]:
    """Serves at once, whether etcd is there or not."""
    settings, identity = mesh.settings, mesh.identity
    etcd_name = role_server_name("etcd", identity.spiffe.trust_domain)
    guard = RowGuard(identity.spiffe.trust_domain, "etcd")
    store = Store(
        INSTANCES,
        settings.etcd_endpoints,
        identity.channel_credentials,
        settings.lease_ttl,
        guard.admits,
        etcd_name,
    )
    table = Table(INSTANCES)
    reserved = frozenset(settings.etcd_endpoints)
    directory = Directory(table, store, settings.lease_ttl + settings.grace, reserved)
    following = mesh.spawn(store.follow(DeniedRows(directory, mesh.denied)), name="etcd watch")
    unsubscribe = identity.subscribe(lambda: _refresh(mesh, store))
    metrics.observe(table, store.stale_seconds)
    try:
        servicer = RegistryServicer(directory, table, store, settings, mesh.draining)
        yield [Servicer(servicer, add_RegistryServiceServicer_to_server)]
    finally:
        unsubscribe()
        following.cancel()
        directory.close()
        await store.close()


def _refresh(mesh: Mesh[RegistrySettings], store: Store[Instance]) -> None:
    mesh.spawn(store.refresh(), name="etcd reconnection")
