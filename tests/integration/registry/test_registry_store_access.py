"""Only registries may talk to etcd, whatever other identities of the mesh try."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from nexus_mesh.spiffe import ROLES, role_server_name
from nexus_registry.etcd import EtcdClient, UnavailableError
from nexus_registry.instances import PREFIX
from support.ca import MeshCA
from support.control_plane import MeshEtcdCA
from support.etcd import EtcdCluster


@pytest_asyncio.fixture
async def guarded(tmp_path: Path, mesh_ca: MeshCA) -> AsyncIterator[EtcdCluster]:
    """etcd told whom to let in, by the name every registry's certificate carries."""
    allowed = f"--client-cert-allowed-hostname={role_server_name('registry', mesh_ca.trust_domain)}"
    cluster = EtcdCluster(tmp_path, ca=MeshEtcdCA(mesh_ca), args=[allowed])
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.stop()


async def test_no_other_role_reaches_the_store(guarded: EtcdCluster, mesh_ca: MeshCA) -> None:
    reached = []
    for role in ROLES:
        credentials = mesh_ca.identity(role).channel_credentials
        name = role_server_name("etcd", mesh_ca.trust_domain)
        client = EtcdClient(guarded.endpoints, credentials, server_name=name)
        try:
            await client.put(PREFIX + b"n1/adapter/forged", b"")
        except UnavailableError:
            continue
        finally:
            await client.close()
        reached.append(role)
    assert reached == ["registry"]


async def test_etcd_without_the_meshs_name_is_not_believed(guarded: EtcdCluster, mesh_ca: MeshCA) -> None:
    credentials = mesh_ca.identity("registry").channel_credentials
    client = EtcdClient(guarded.endpoints, credentials, server_name="vault.nexus.internal")
    with pytest.raises(UnavailableError):
        await client.put(PREFIX + b"n1/adapter/x", b"")
    await client.close()
