"""Keys: paging, conditions, errors, and members that are not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from nexus_registry.etcd import (
    EtcdClient,
    EtcdError,
    LeaseGoneError,
    UnavailableError,
    absent,
    delete_op,
    put_op,
    unchanged,
)
from support.etcd import EtcdCluster
from support.processes import free_port

PREFIX = b"/nexus/"


@pytest_asyncio.fixture
async def client(etcd: EtcdCluster) -> AsyncIterator[EtcdClient]:
    client = EtcdClient(etcd.endpoints, lambda: None, page_size=10)
    yield client
    await client.close()


async def test_a_key_is_written_read_and_deleted(client: EtcdClient) -> None:
    assert await client.get(b"/nexus/a") is None
    revision = await client.put(b"/nexus/a", b"1")
    item = await client.get(b"/nexus/a")
    assert item is not None
    assert (item.value, item.mod_revision, item.create_revision, item.version) == (
        b"1",
        revision,
        revision,
        1,
    )
    assert await client.delete(b"/nexus/a")
    assert not await client.delete(b"/nexus/a")


async def test_a_listing_is_paged_and_of_one_revision(client: EtcdClient) -> None:
    keys = [b"/nexus/%03d" % n for n in range(95)]
    for key in keys:
        await client.put(key, b"before")

    async def interfere() -> None:
        for key in keys:
            await client.put(key, b"after")

    writer = asyncio.create_task(interfere())
    while not writer.done():
        listing = await client.range(PREFIX)
        assert [item.key for item in listing.items] == keys
        written = [item for item in listing.items if item.value == b"after"]
        assert [item.key for item in written] == keys[: len(written)]
        assert max(item.mod_revision for item in listing.items) == listing.revision
    await writer


@pytest.mark.parametrize("prefix", [b"", b"a", b"\xff", b"a\xff", b"\xff\xff"])
async def test_a_prefix_lists_exactly_the_keys_that_start_with_it(client: EtcdClient, prefix: bytes) -> None:
    keys = [b"\0", b"a", b"a\0", b"a\xff", b"a\xff\xff", b"b", b"\xff", b"\xff\xff", b"\xff\xff\xff"]
    for key in keys:
        await client.put(key, b"")
    listing = await client.range(prefix)
    assert {item.key for item in listing.items} == {key for key in keys if key.startswith(prefix)}


async def test_only_the_first_of_many_creates_a_key(client: EtcdClient) -> None:
    created = await asyncio.gather(*(client.create(b"/nexus/one", b"%d" % n) for n in range(8)))
    assert created.count(True) == 1
    item = await client.get(b"/nexus/one")
    assert item is not None
    assert item.value == b"%d" % created.index(True)


async def test_a_transaction_is_applied_whole_or_not_at_all(client: EtcdClient) -> None:
    first = await client.txn([absent(b"/nexus/a")], [put_op(b"/nexus/a", b"1"), put_op(b"/nexus/b", b"1")])
    assert first.succeeded
    assert {item.mod_revision for item in (await client.range(PREFIX)).items} == {first.revision}
    await client.put(b"/nexus/a", b"2")
    stale = await client.txn([unchanged(b"/nexus/a", first.revision)], [delete_op(b"/nexus/b")])
    assert not stale.succeeded
    assert await client.get(b"/nexus/b") is not None


async def test_a_write_under_a_lease_that_has_ended_says_so(client: EtcdClient) -> None:
    with pytest.raises(LeaseGoneError):
        await client.put(b"/nexus/a", b"1", lease=12345)


async def test_a_request_that_can_never_succeed_is_not_retryable(client: EtcdClient) -> None:
    with pytest.raises(EtcdError) as refused:
        await client.put(b"", b"no key")
    assert not refused.value.retryable


async def test_a_full_database_refuses_writes_and_goes_on_reading(tmp_path: Path) -> None:
    cluster = EtcdCluster(tmp_path, args=["--quota-backend-bytes=4000000"])
    client = EtcdClient(cluster.endpoints, lambda: None)
    try:
        await cluster.start()
        with pytest.raises(EtcdError) as refused:
            await fill(client, megabytes=1000)
        assert refused.value.retryable
        assert "space" in str(refused.value)
        assert (await client.range(PREFIX)).items
    finally:
        await client.close()
        await cluster.stop()


async def fill(client: EtcdClient, megabytes: int) -> None:
    """Many: etcd looks at its size only when it commits, every 100 ms, and a quick disk takes much in that time."""
    for n in range(megabytes):
        await client.put(b"/nexus/%d" % n, bytes(1_000_000))


async def test_members_that_are_down_are_passed_over(etcd: EtcdCluster) -> None:
    dead = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    client = EtcdClient([*dead, *etcd.endpoints], lambda: None)
    try:
        assert await client.put(b"/nexus/a", b"1")
    finally:
        await client.close()


async def test_without_any_member_a_call_fails_and_names_them() -> None:
    endpoint = f"127.0.0.1:{free_port()}"
    client = EtcdClient([endpoint], lambda: None)
    try:
        with pytest.raises(UnavailableError, match=endpoint) as refused:
            await client.range(PREFIX)
        assert refused.value.retryable
    finally:
        await client.close()


async def test_a_call_survives_the_restart_of_the_only_member(etcd: EtcdCluster, client: EtcdClient) -> None:
    await client.put(b"/nexus/a", b"1")
    await etcd.kill(etcd.members[0])
    with pytest.raises(UnavailableError):
        await client.put(b"/nexus/a", b"2")
    await etcd.restart(etcd.members[0])
    assert await client.put(b"/nexus/a", b"3")


async def test_a_frozen_member_ends_a_call_at_its_deadline(etcd: EtcdCluster) -> None:
    client = EtcdClient(etcd.endpoints, lambda: None, deadline=0.5)
    try:
        await client.put(b"/nexus/a", b"1")
        etcd.freeze(etcd.members[0])
        async with asyncio.timeout(20):
            with pytest.raises(UnavailableError):
                await client.put(b"/nexus/a", b"2")
    finally:
        etcd.thaw(etcd.members[0])
        await client.close()
