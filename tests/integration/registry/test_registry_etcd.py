"""The registry and its store: rows survive etcd's absence, meddling with keys, and a second registry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from nexus.registry.v1 import instance_pb2
from nexus_mesh.identity.spiffe import role_server_name
from nexus_mesh.process.mesh import Mesh
from nexus_registry.app import open_registry
from nexus_registry.config import RegistrySettings
from nexus_registry.etcd import EtcdClient, KeyValue
from nexus_registry.instances import INSTANCES
from prometheus_client import REGISTRY
from support.ca import MeshCA
from support.control_plane import Member, Watcher, serving, settings_of
from support.etcd import EtcdCluster
from support.waiting import eventually

OpenRegistry = Callable[..., Awaitable[str]]
LEASE_TTL = 3


@pytest_asyncio.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What a test opens; closed in reverse order."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest_asyncio.fixture
async def start(
    tmp_path: Path, mesh_ca: MeshCA, mesh_etcd: EtcdCluster, stack: AsyncExitStack
) -> OpenRegistry:
    """Starts a registry of some name on the one etcd; gives its address."""

    async def start(name: str = "main") -> str:
        settings = settings_of(
            RegistrySettings,
            home=tmp_path,
            port=0,
            etcd_endpoints=mesh_etcd.endpoints,
            lease_ttl=LEASE_TTL,
            grace=2,
            keep_alive_interval=0.5,
            load_timeout=0.5,
        )
        mesh = Mesh(settings, mesh_ca.identity("registry", name))
        return await stack.enter_async_context(serving(mesh, open_registry))

    return start


@pytest_asyncio.fixture
async def client(mesh_ca: MeshCA, mesh_etcd: EtcdCluster) -> AsyncIterator[EtcdClient]:
    """Somebody else with access to the store."""
    identity = mesh_ca.identity("registry", "meddler")
    name = role_server_name("etcd", mesh_ca.trust_domain)
    client = EtcdClient(mesh_etcd.endpoints, identity.channel_credentials, server_name=name)
    yield client
    await client.close()


class Crowd:
    """Members and watchers of a test, closed at its end."""

    def __init__(self, ca: MeshCA, home: Path, stack: AsyncExitStack) -> None:
        self._ca, self._home, self._stack = ca, home, stack

    async def member(self, registry: str, name: str = "box") -> Member:
        member = Member(self._ca, self._home, registry, name=name)
        self._stack.push_async_callback(member.crash)
        return member

    async def watcher(self, registry: str) -> Watcher:
        watcher = Watcher(self._ca, self._home, registry)
        self._stack.push_async_callback(watcher.close)
        await eventually(lambda: watcher.synced)
        return watcher


@pytest_asyncio.fixture
async def crowd(tmp_path: Path, mesh_ca: MeshCA, stack: AsyncExitStack) -> Crowd:
    return Crowd(mesh_ca, tmp_path, stack)


async def stored(client: EtcdClient, instance_id: str, wanted: Callable[[KeyValue], bool]) -> KeyValue:
    """The key of an instance, as soon as it is as wanted."""
    found: list[KeyValue] = []
    async with client.watch_prefix(INSTANCES.prefix) as watch:
        async for update in watch:
            items = getattr(update, "items", None) or [
                item for change in getattr(update, "changes", ()) if (item := getattr(change, "item", None))
            ]
            found += [item for item in items if item.key == INSTANCES.key(instance_id) and wanted(item)]
            if found:
                break
    return found[-1]


def connected(item: KeyValue) -> bool:
    return instance_pb2.Instance.FromString(item.value).connected


def state_of(item: KeyValue) -> instance_pb2.State:
    return instance_pb2.Instance.FromString(item.value).status.state


async def test_a_row_is_in_etcd_under_a_lease(start: OpenRegistry, crowd: Crowd, client: EtcdClient) -> None:
    member = await crowd.member(await start())
    item = await stored(client, member.id, connected)
    assert item.key == b"/nexus/v1/instances/n1/adapter/box"
    assert item.lease
    await member.crash()
    assert (await stored(client, member.id, lambda item: not connected(item))).lease == item.lease


async def test_without_etcd_it_serves_and_catches_up(
    start: OpenRegistry, crowd: Crowd, client: EtcdClient, mesh_etcd: EtcdCluster
) -> None:
    address = await start()
    before = await crowd.member(address, "before")
    await stored(client, before.id, connected)
    await mesh_etcd.kill(mesh_etcd.members[0])
    during = await crowd.member(address, "during")
    watcher = await crowd.watcher(address)
    await eventually(lambda: watcher.connected(before.id) and watcher.connected(during.id))
    before.say(state=instance_pb2.STATE_DRAINING)
    await eventually(lambda: watcher.rows[before.id].status.state == instance_pb2.STATE_DRAINING)
    await mesh_etcd.restart(mesh_etcd.members[0])
    await stored(client, during.id, connected)
    item = await stored(client, before.id, lambda item: state_of(item) == instance_pb2.STATE_DRAINING)
    assert connected(item)
    assert all(message.put.connected for message in watcher.told if message.put.id == before.id)


async def test_started_without_etcd_it_serves_and_says_it_is_behind(
    start: OpenRegistry, crowd: Crowd, mesh_etcd: EtcdCluster, client: EtcdClient
) -> None:
    await mesh_etcd.kill(mesh_etcd.members[0])
    address = await start()
    member = await crowd.member(address)
    watcher = await crowd.watcher(address)
    await eventually(lambda: watcher.connected(member.id))
    await eventually(lambda: (REGISTRY.get_sample_value("nexus_registry_stale_seconds") or 0) >= 1)
    late = await crowd.watcher(address)
    assert max(message.synced.stale_seconds for message in late.told) >= 1
    await mesh_etcd.restart(mesh_etcd.members[0])
    await stored(client, member.id, connected)
    await eventually(lambda: REGISTRY.get_sample_value("nexus_registry_stale_seconds") == 0)


async def test_rows_deleted_behind_its_back_are_written_again(
    start: OpenRegistry, crowd: Crowd, client: EtcdClient
) -> None:
    address = await start()
    member, watcher = await crowd.member(address), await crowd.watcher(address)
    item = await stored(client, member.id, connected)
    assert await client.delete(item.key)
    await stored(client, member.id, lambda again: again.mod_revision > item.mod_revision)
    assert watcher.connected(member.id)
    assert not any(message.delete for message in watcher.told)


async def test_a_lost_lease_is_replaced(start: OpenRegistry, crowd: Crowd, client: EtcdClient) -> None:
    address = await start()
    member, watcher = await crowd.member(address), await crowd.watcher(address)
    item = await stored(client, member.id, connected)
    lease = await client.leases.grant(LEASE_TTL)
    lease.id = item.lease
    await client.leases.revoke(lease)
    again = await stored(client, member.id, lambda again: again.lease != item.lease)
    assert connected(again)
    member.say(state=instance_pb2.STATE_DRAINING)
    final = await stored(client, member.id, lambda last: state_of(last) == instance_pb2.STATE_DRAINING)
    assert final.lease != item.lease
    assert not any(message.delete for message in watcher.told)


async def test_two_registries_see_each_others_instances(start: OpenRegistry, crowd: Crowd) -> None:
    east, west = await start("east"), await start("west")
    watcher = await crowd.watcher(west)
    member = await crowd.member(east)
    await eventually(lambda: watcher.connected(member.id))
    member.say(state=instance_pb2.STATE_DRAINING)
    await eventually(lambda: watcher.rows[member.id].status.state == instance_pb2.STATE_DRAINING)
    await member.crash()
    await eventually(lambda: watcher.connected(member.id) is False)
    await eventually(lambda: watcher.connected(member.id) is None, timeout=20)


async def test_who_moves_to_another_registry_is_not_pulled_back(start: OpenRegistry, crowd: Crowd) -> None:
    east, west = await start("east"), await start("west")
    seen_east, seen_west = await crowd.watcher(east), await crowd.watcher(west)
    first = await crowd.member(east)
    await eventually(lambda: seen_west.connected(first.id))
    old = seen_west.rows[first.id].address
    await first.crash()
    second = await crowd.member(west)
    for watcher in (seen_west, seen_east):
        await eventually(lambda watcher=watcher: watcher.rows[second.id].address != old)
    told = len(seen_west.told), len(seen_east.told)
    # Longer than the first registration has to live, so that its removal would be seen.
    for second_passed in range(LEASE_TTL + 3):
        name = f"b{second_passed}"
        second.say(instance_pb2.Backend(name=name, kind="x"))
        await eventually(lambda name=name: backends(seen_east, second.id) == [name])
        await asyncio.sleep(1.0)
    later = seen_west.told[told[0] :] + seen_east.told[told[1] :]
    assert not any(message.delete for message in later)
    assert all(message.put.connected for message in later)


def backends(watcher: Watcher, instance_id: str) -> list[str]:
    return [backend.name for backend in watcher.rows[instance_id].status.backends]


async def test_garbage_in_etcd_is_passed_over(start: OpenRegistry, crowd: Crowd, client: EtcdClient) -> None:
    other = instance_pb2.Instance(id="n1/adapter/other")
    for key, value in {"garbage": b"\xff\xff", "alien": other.SerializeToString(), "empty": b""}.items():
        await client.put(INSTANCES.prefix + key.encode(), value)
    address = await start()
    watcher = await crowd.watcher(address)
    member = await crowd.member(address)
    await eventually(lambda: watcher.connected(member.id))
    assert set(watcher.rows) == {member.id}


@pytest.mark.security
async def test_a_forged_row_in_etcd_is_passed_over(
    start: OpenRegistry, crowd: Crowd, client: EtcdClient, mesh_ca: MeshCA
) -> None:
    """A1: as if etcd were open. Neither under a name of its own nor in the place of one that is registered."""
    address = await start()
    member, watcher = await crowd.member(address), await crowd.watcher(address)
    await stored(client, member.id, connected)
    true = watcher.rows[member.id]
    forged = instance_pb2.Instance()
    forged.CopyFrom(true)
    forged.zone, forged.address = "restricted", "10.6.6.6:666"
    forged.register_time.seconds += 3600
    await client.put(INSTANCES.key(forged.id), forged.SerializeToString())
    forged.id, forged.name = "n1/adapter/forged", "forged"
    await client.put(INSTANCES.key(forged.id), forged.SerializeToString())
    again = await stored(client, member.id, lambda item: b"10.6.6.6" not in item.value)
    assert instance_pb2.Instance.FromString(again.value).address == true.address
    late = await crowd.watcher(address)
    assert set(late.rows) == {member.id}
    assert all(b"10.6.6.6" not in message.SerializeToString() for message in watcher.told + late.told)
