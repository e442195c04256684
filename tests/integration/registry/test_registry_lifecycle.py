"""Register, keep alive, watch, leave: over real mutual TLS, with a real etcd behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from nexus.registry.v1 import instance_pb2, registry_pb2
from nexus.types.v1.model_pb2 import Model
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.process.mesh import Mesh
from nexus_mesh.rpc.client import Method
from nexus_registry.app import open_registry
from nexus_registry.config import RegistrySettings
from prometheus_client import REGISTRY as REGISTRY_METRICS
from support.ca import MeshCA
from support.control_plane import REGISTRY, WATCH, Member, Watcher, serving, settings_of
from support.etcd import EtcdCluster
from support.waiting import eventually

REGISTER = Method(REGISTRY, "Register", registry_pb2.RegisterRequest, registry_pb2.RegisterResponse)
KEEP_ALIVE = Method(REGISTRY, "KeepAlive", registry_pb2.KeepAliveRequest, registry_pb2.KeepAliveResponse)
LIST = Method(REGISTRY, "List", registry_pb2.ListRequest, registry_pb2.ListResponse)
LIFETIME = 5.0


@pytest_asyncio.fixture
async def registry(tmp_path: Path, mesh_ca: MeshCA, mesh_etcd: EtcdCluster) -> AsyncIterator[str]:
    """A running registry's address."""
    settings = settings_of(
        RegistrySettings,
        home=tmp_path,
        port=0,
        etcd_endpoints=mesh_etcd.endpoints,
        lease_ttl=2,
        grace=LIFETIME - 2,
        keep_alive_interval=0.3,
    )
    async with serving(Mesh(settings, mesh_ca.identity("registry")), open_registry) as address:
        yield address


@pytest_asyncio.fixture
async def watcher(tmp_path: Path, mesh_ca: MeshCA, registry: str) -> AsyncIterator[Watcher]:
    watcher = Watcher(mesh_ca, tmp_path, registry)
    await eventually(lambda: watcher.synced)
    yield watcher
    await watcher.close()


@pytest_asyncio.fixture
async def member(tmp_path: Path, mesh_ca: MeshCA, registry: str, watcher: Watcher) -> AsyncIterator[Member]:
    """A connected adapter."""
    member = Member(mesh_ca, tmp_path, registry)
    await eventually(lambda: watcher.connected(member.id))
    yield member
    await member.crash()


def refused(reason: Reason, param: str | None = None) -> pytest.RaisesExc[MeshError]:
    return pytest.RaisesExc(
        MeshError, check=lambda error: error.reason is reason and error.metadata.get("param") == param
    )


async def test_a_row_is_what_the_certificate_and_the_connection_say(member: Member, watcher: Watcher) -> None:
    row = watcher.rows["n1/adapter/box"]
    assert (row.role, row.node, row.zone, row.name) == ("adapter", "n1", "default", "box")
    assert row.server_name == "box.n1.default.zone.adapter.nexus.internal"
    assert row.address.startswith("127.0.0.1:")
    assert row.register_time.seconds > 0


async def test_a_status_travels_to_watchers(member: Member, watcher: Watcher) -> None:
    member.say(instance_pb2.Backend(name="b", kind="ollama", state=instance_pb2.STATE_ACTIVE))
    await eventually(lambda: [backend.name for backend in watcher.rows[member.id].status.backends] == ["b"])
    member.say(state=instance_pb2.STATE_DRAINING)
    await eventually(lambda: watcher.rows[member.id].status.state == instance_pb2.STATE_DRAINING)


async def test_who_leaves_is_gone_before_its_lease(member: Member, watcher: Watcher) -> None:
    await member.leave()
    await eventually(lambda: watcher.connected(member.id) is None, timeout=LIFETIME / 2)


async def test_who_crashes_is_shown_lost_and_later_removed(member: Member, watcher: Watcher) -> None:
    await member.crash()
    await eventually(lambda: watcher.connected(member.id) is False)
    await eventually(lambda: watcher.connected(member.id) is None, timeout=3 * LIFETIME)


async def test_who_falls_silent_is_lost(
    mesh_ca: MeshCA, registry: str, tmp_path: Path, watcher: Watcher
) -> None:
    async with Mesh(
        settings_of(RegistrySettings, home=tmp_path, registry=registry), mesh_ca.identity("adapter", "mute")
    ) as mesh:
        peer = mesh.control("registry")
        await peer.unary(REGISTER, registry_pb2.RegisterRequest(port=1), timeout=5)
        with refused(Reason.TIMEOUT):
            async with peer.bidi(KEEP_ALIVE) as (call, _):
                await call.write(registry_pb2.KeepAliveRequest())
                await eventually(lambda: watcher.connected("n1/adapter/mute"))
                await call.read()
                await call.read()
        await eventually(lambda: not watcher.connected("n1/adapter/mute"))


async def test_a_new_certificate_is_no_blip(mesh_ca: MeshCA, member: Member, watcher: Watcher) -> None:
    told = len(watcher.told)
    member.mesh.identity.replace(mesh_ca.material(member.mesh.identity.spiffe))
    await eventually(lambda: len(watcher.told) > told)
    member.say(state=instance_pb2.STATE_DRAINING)
    await eventually(lambda: watcher.rows[member.id].status.state == instance_pb2.STATE_DRAINING)
    assert all(message.put.connected for message in watcher.told[told:])


async def test_keep_alive_needs_a_registration(mesh_ca: MeshCA, registry: str, tmp_path: Path) -> None:
    async with Mesh(
        settings_of(RegistrySettings, home=tmp_path, registry=registry), mesh_ca.identity("adapter")
    ) as mesh:
        with refused(Reason.OBJECT_NOT_FOUND):
            async with mesh.control("registry").bidi(KEEP_ALIVE) as (call, _):
                await call.write(registry_pb2.KeepAliveRequest())
                await call.read()


@pytest.mark.parametrize("param", ["port", "version"])
async def test_a_registration_out_of_bounds_is_refused(
    mesh_ca: MeshCA, mesh_etcd: EtcdCluster, registry: str, tmp_path: Path, param: str
) -> None:
    request = registry_pb2.RegisterRequest(port=7450, version="1")
    if param == "port":
        request.port = mesh_etcd.members[0].client_port
    else:
        request.version = "x" * 65
    async with Mesh(
        settings_of(RegistrySettings, home=tmp_path, registry=registry), mesh_ca.identity("adapter")
    ) as mesh:
        with refused(Reason.INVALID_REQUEST, param):
            await mesh.control("registry").unary(REGISTER, request, timeout=5)


@pytest.mark.security
async def test_what_one_engine_says_costs_nobody_else(
    mesh_ca: MeshCA, tmp_path: Path, registry: str, member: Member, watcher: Watcher
) -> None:
    """A3: at the registration and by keep-alive; the adapter's other models stay."""
    good = instance_pb2.Backend(
        name="good", kind="x", state=instance_pb2.STATE_ACTIVE, models=[Model(id="m")]
    )
    for number, models in enumerate(
        ([Model(id="a\x00")], [Model(id="x" * 257)], [Model(id=str(n)) for n in range(2001)])
    ):
        bad = instance_pb2.Backend(
            name=f"bad{number}", kind="x", state=instance_pb2.STATE_ACTIVE, models=models
        )
        member.say(good, bad)
        await eventually(
            lambda bad=bad: bad.name in [one.name for one in watcher.rows[member.id].status.backends]
        )
        shown = {one.name: one for one in watcher.rows[member.id].status.backends}
        assert shown["good"] == good
        assert shown[bad.name].state_reason
    late = Member(mesh_ca, tmp_path, registry, name="late")
    late.say(
        good,
        instance_pb2.Backend(name="bad", models=[Model(id="a\nb")]),
        instance_pb2.Backend(name="x" * 200),
    )
    await eventually(lambda: watcher.connected(late.id))
    status = watcher.rows[late.id].status
    assert status.backends[0] == good
    assert [one.name for one in status.backends] == ["good", "bad"]
    assert len(status.left_out) == 1
    await late.crash()


async def test_a_watch_resumes_where_it_was(member: Member, watcher: Watcher) -> None:
    last = watcher.told[-1]
    member.say(state=instance_pb2.STATE_DRAINING)
    await eventually(lambda: watcher.told[-1] is not last)
    request = registry_pb2.WatchRequest(epoch=last.epoch, revision=last.revision)
    async with watcher.mesh.control("registry").stream(WATCH, request, timeout=5) as call:
        first = await anext(aiter(call))
    assert first.revision > last.revision
    assert first.put.status.state == instance_pb2.STATE_DRAINING


@pytest.mark.parametrize(("epoch", "revision"), [("another", 1), (None, 1 << 40)])
async def test_a_watch_that_cannot_resume_says_so(watcher: Watcher, epoch: str | None, revision: int) -> None:
    request = registry_pb2.WatchRequest(epoch=epoch or watcher.told[-1].epoch, revision=revision)
    async with watcher.mesh.control("registry").stream(WATCH, request, timeout=5) as call:
        with refused(Reason.REVISION_EXPIRED):
            await anext(aiter(call))


async def test_a_watcher_that_hangs_up_is_forgotten(tmp_path: Path, mesh_ca: MeshCA, registry: str) -> None:
    watchers = [Watcher(mesh_ca, tmp_path, registry) for _ in range(3)]
    for watcher in watchers:
        await eventually(lambda watcher=watcher: watcher.synced)
    assert REGISTRY_METRICS.get_sample_value("nexus_registry_watchers_count") == 3
    await asyncio.gather(*(watcher.close() for watcher in watchers))
    await eventually(lambda: REGISTRY_METRICS.get_sample_value("nexus_registry_watchers_count") == 0)


async def test_list_in_pages(mesh_ca: MeshCA, registry: str, tmp_path: Path, watcher: Watcher) -> None:
    members = [Member(mesh_ca, tmp_path, registry, name=f"box{number}") for number in range(5)]
    await eventually(lambda: len(watcher.rows) == 5)
    found, token = [], ""
    for _ in range(3):
        request = registry_pb2.ListRequest(role="adapter", page_size=2, page_token=token)
        response = await watcher.mesh.control("registry").unary(LIST, request, timeout=5)
        found += [row.name for row in response.instances]
        token = response.next_page_token
    assert found == [f"box{number}" for number in range(5)]
    assert token == ""
    await asyncio.gather(*(member.crash() for member in members))
