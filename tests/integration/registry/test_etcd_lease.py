"""Leases: kept over one stream, lost by the client's own clock, and what etcd does to their keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from nexus_registry.etcd import EtcdClient, Lease
from support.etcd import EtcdCluster
from support.etcd_recorder import Recorder
from support.waiting import eventually

KEY = b"/nexus/a"


@pytest.fixture
def lost() -> list[Lease]:
    return []


@pytest_asyncio.fixture
async def client(etcd: EtcdCluster, lost: list[Lease]) -> AsyncIterator[EtcdClient]:
    client = EtcdClient(etcd.endpoints, lambda: None, on_lease_lost=lost.append)
    yield client
    await client.close()


async def test_etcd_raises_a_lease_to_its_own_minimum(client: EtcdClient) -> None:
    assert (await client.leases.grant(1)).ttl == 2


async def test_leases_outlive_their_ttl_many_on_one_stream(client: EtcdClient, lost: list[Lease]) -> None:
    leases = [await client.leases.grant(2) for _ in range(20)]
    for n, lease in enumerate(leases):
        await client.put(b"/nexus/%d" % n, b"", lease.id)
    await asyncio.sleep(5)
    assert lost == []
    assert not any(lease.lost.is_set() for lease in leases)
    assert len((await client.range(b"/nexus/")).items) == 20


async def test_the_keys_of_an_owner_that_died_are_deleted(etcd: EtcdCluster, client: EtcdClient) -> None:
    owner = EtcdClient(etcd.endpoints, lambda: None)
    lease = await owner.leases.grant(2)
    await owner.put(KEY, b"1", lease.id)
    async with Recorder(client, b"/nexus/") as recorder:
        await eventually(lambda: KEY in recorder.view)
        await owner.close()
        await eventually(lambda: KEY not in recorder.view, timeout=20, what="expiry")
    assert recorder.events[-1][0] == "DELETE"


async def test_revoking_deletes_the_keys_at_once_and_is_not_a_loss(
    client: EtcdClient, lost: list[Lease]
) -> None:
    lease = await client.leases.grant(60)
    await client.put(KEY, b"1", lease.id)
    await client.leases.revoke(lease)
    assert await client.get(KEY) is None
    await client.leases.revoke(lease)
    assert lost == []


async def test_a_lease_that_etcd_does_not_know_any_more_is_lost(
    etcd: EtcdCluster, client: EtcdClient, lost: list[Lease]
) -> None:
    lease = await client.leases.grant(6)
    await etcd.ctl("lease", "revoke", f"{lease.id:x}")
    # Sooner than the TTL: it is etcd's answer (TTL 0, no error) that tells, not the clock.
    async with asyncio.timeout(5):
        await lease.lost.wait()
    assert lost == [lease]
    again = await client.leases.grant(6)
    assert await client.put(KEY, b"1", again.id)


@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_a_lease_is_lost_by_the_clock_when_etcd_is_silent(
    etcd: EtcdCluster, client: EtcdClient, lost: list[Lease], fault: str
) -> None:
    member = etcd.members[0]
    lease = await client.leases.grant(2)
    await (etcd.kill(member) if fault == "kill" else asyncio.to_thread(etcd.freeze, member))
    try:
        async with asyncio.timeout(20):
            await lease.lost.wait()
        assert lost == [lease]
    finally:
        await etcd.kill(member)


async def test_a_lease_survives_a_restart_of_etcd(
    etcd: EtcdCluster, client: EtcdClient, lost: list[Lease]
) -> None:
    lease = await client.leases.grant(8)
    await client.put(KEY, b"1", lease.id)
    await etcd.kill(etcd.members[0])
    await etcd.restart(etcd.members[0])
    await asyncio.sleep(9)
    assert lost == []
    assert await client.get(KEY) is not None
