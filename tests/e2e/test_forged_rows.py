"""A worker of the mesh that gets at an etcd somebody left open: rows are forged, prompts stay where they may go."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from nexus.registry.v1 import instance_pb2
from nexus_cli.instances import listed
from nexus_mesh.identity import tls
from nexus_mesh.identity.spiffe import role_server_name
from nexus_registry.etcd import EtcdClient, EtcdError
from nexus_registry.instances import INSTANCES
from support.e2e_mesh import HELLO
from support.fake_openai import FakeOpenAI
from support.live_mesh import LiveMesh, backend, eventually, live_mesh
from support.scripted_adapter import serve_adapter

pytestmark = pytest.mark.security

ALLOWED = "--client-cert-allowed-hostname="
PROMPTS = 20


@pytest_asyncio.fixture
async def engines() -> AsyncIterator[tuple[FakeOpenAI, FakeOpenAI]]:
    async with FakeOpenAI("fake-model") as outside, FakeOpenAI("fake-model") as inside:
        yield outside, inside


@pytest_asyncio.fixture
async def mesh(
    tmp_path_factory: pytest.TempPathFactory, engines: tuple[FakeOpenAI, FakeOpenAI]
) -> AsyncIterator[LiveMesh]:
    """Two zones, and an etcd started without the flag that admits registries alone."""
    outside, inside = engines
    config = backend("outside", outside.url) + backend("inside", inside.url, zone="restricted")
    async with live_mesh(tmp_path_factory.mktemp("forged"), config) as started:
        command = started.supervisor.units["etcd"].spec.command
        await started.refit("etcd", [part for part in command if not part.startswith(ALLOWED)])
        await eventually(lambda: _asked(started), 60, "the restricted zone to be served")
        yield started


async def test_a_prompt_that_demands_a_zone_never_goes_to_a_forged_row(
    mesh: LiveMesh, engines: tuple[FakeOpenAI, FakeOpenAI]
) -> None:
    """A1: forged with the worker's own certificate, as a newcomer, as itself, and over the true one's row."""
    material = tls.load(mesh.layout.identity("adapter", "main"))
    assert material is not None
    identity = tls.Identity(material)
    rows = {row.name: row for row in await listed(mesh.layout, "adapter")}
    async with serve_adapter(identity) as rogue:
        forged = [_forged(rows[name], rows["restricted"], rogue.address) for name in ("main", "restricted")]
        newcomer = _forged(rows["main"], rows["restricted"], rogue.address)
        newcomer.id, newcomer.name = newcomer.id.replace("/main", "/newcomer"), "newcomer"
        etcd = EtcdClient(
            [f"127.0.0.1:{mesh.file.ports['etcd']}"],
            identity.channel_credentials,
            server_name=role_server_name("etcd", mesh.file.trust_domain),
        )
        for row in (*forged, newcomer):
            await eventually(lambda row=row: _put(etcd, row), 20, "the forged row to be in etcd")
        for _ in range(PROMPTS):
            await _asked(mesh)
        await etcd.close()
        assert (rogue.seen, rogue.counted) == ([], [])
    outside, inside = engines
    assert outside.calls == []
    await eventually(lambda: _asked(mesh), 30, "the restricted zone to be served again")
    assert inside.calls


def _forged(row: instance_pb2.Instance, true: instance_pb2.Instance, address: str) -> instance_pb2.Instance:
    """A newer registration, with the true one's models, in its zone, at another address."""
    forged = instance_pb2.Instance()
    forged.CopyFrom(row)
    forged.zone, forged.address, forged.connected = "restricted", address, True
    forged.status.CopyFrom(true.status)
    for each in forged.status.backends:
        each.priority = 1
    forged.register_time.seconds += 3600
    return forged


async def _put(etcd: EtcdClient, row: instance_pb2.Instance) -> bool:
    try:
        await etcd.put(INSTANCES.key(row.id), row.SerializeToString())
    except EtcdError:  # etcd has just been started again
        return False
    return True


async def _asked(mesh: LiveMesh) -> bool:
    """Whether a prompt that demands the zone is answered."""
    body = {"model": "fake-model", "messages": HELLO}
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{mesh.base_url}/chat/completions", json=body, headers={"X-Nexus-Zone": "restricted"}
        ) as answer,
    ):
        await answer.read()
        return answer.status == 200
