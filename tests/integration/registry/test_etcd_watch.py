"""One member: what a watch tells its consumer through restarts, cuts, compaction and restored data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
import pytest_asyncio
from nexus_registry.etcd import Changes, Delete, EtcdClient, Put, Snapshot
from support.etcd import EtcdCluster
from support.etcd_history import read_history
from support.etcd_recorder import Recorder
from support.tcp_proxy import TcpProxy
from support.waiting import eventually

PREFIX = b"/nexus/"


@pytest_asyncio.fixture
async def client(etcd: EtcdCluster) -> AsyncIterator[EtcdClient]:
    client = EtcdClient(etcd.endpoints, lambda: None)
    yield client
    await client.close()


@pytest_asyncio.fixture
async def proxy(etcd: EtcdCluster) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(etcd.members[0].endpoint) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def recorder(proxy: TcpProxy, client: EtcdClient) -> AsyncIterator[Recorder]:
    """A watch that can be cut off; one key, `old`, is there already."""
    await client.put(b"/nexus/old", b"0")
    watching = EtcdClient([proxy.endpoint], lambda: None)
    async with Recorder(watching, PREFIX) as recorder:
        await eventually(lambda: recorder.watch.connected, what="watch")
        yield recorder
    await watching.close()


async def write(client: EtcdClient, items: Iterable[tuple[bytes, bytes]]) -> int:
    """Put each item; the revision of the last one."""
    return [await client.put(key, value) for key, value in items][-1]


async def caught_up(recorder: Recorder, revision: int) -> None:
    await eventually(lambda: recorder.revision == revision, timeout=20, what=f"revision {revision}")


async def test_a_watch_tells_the_snapshot_and_then_each_change(
    client: EtcdClient, recorder: Recorder
) -> None:
    put = await client.put(b"/nexus/new", b"1")
    await client.put(b"/elsewhere", b"1")
    await client.delete(b"/nexus/old")
    await eventually(lambda: len(recorder.updates) == 3)
    snapshot, first, second = recorder.updates
    assert isinstance(snapshot, Snapshot)
    assert [item.key for item in snapshot.items] == [b"/nexus/old"]
    assert first == Changes(put, (Put(recorder.view[b"/nexus/new"]),))
    assert second == Changes(put + 2, (Delete(b"/nexus/old", put + 2),))
    assert recorder.watch.silence < 5


async def test_a_watch_resumes_after_the_member_was_killed(
    etcd: EtcdCluster, client: EtcdClient, recorder: Recorder
) -> None:
    await client.put(b"/nexus/a", b"1")
    await etcd.kill(etcd.members[0])
    await eventually(lambda: not recorder.watch.connected, what="loss of the connection")
    await etcd.restart(etcd.members[0])
    last = await client.put(b"/nexus/a", b"2")
    await caught_up(recorder, last)
    assert recorder.events == (await read_history(etcd, PREFIX, last))[1:]
    assert recorder.relists == []
    assert recorder.states[:3] == [True, False, True]


async def test_revisions_missed_arrive_together_in_order_and_once(
    etcd: EtcdCluster, client: EtcdClient, proxy: TcpProxy, recorder: Recorder
) -> None:
    proxy.cut()
    await eventually(lambda: not recorder.watch.connected)
    last = await write(client, ((b"/nexus/%d" % (n % 3), b"%d" % n) for n in range(20)))
    proxy.join()
    await caught_up(recorder, last)
    assert any(isinstance(update, Changes) and len(update.changes) > 1 for update in recorder.updates)
    assert recorder.events == (await read_history(etcd, PREFIX, last))[1:]
    assert recorder.relists == []


async def test_a_catch_up_too_large_for_one_message_is_put_together_again(
    etcd: EtcdCluster, client: EtcdClient, proxy: TcpProxy, recorder: Recorder
) -> None:
    proxy.cut()
    await eventually(lambda: not recorder.watch.connected)
    values = {b"/nexus/%d" % n: bytes([n]) * 1_000_000 for n in range(8)}
    last = await write(client, values.items())
    proxy.join()
    await caught_up(recorder, last)
    assert recorder.events == (await read_history(etcd, PREFIX, last))[1:]
    assert {key: recorder.view[key].value for key in values} == values


async def test_compaction_while_cut_off_is_answered_with_the_difference(
    etcd: EtcdCluster, client: EtcdClient, proxy: TcpProxy, recorder: Recorder
) -> None:
    await client.put(b"/nexus/kept", b"0")
    await caught_up(recorder, await client.put(b"/nexus/changed", b"0"))
    proxy.cut()
    await eventually(lambda: not recorder.watch.connected)
    await client.delete(b"/nexus/old")
    await client.put(b"/nexus/changed", b"1")
    await client.put(b"/nexus/fleeting", b"1")
    await client.delete(b"/nexus/fleeting")
    last = await client.put(b"/nexus/new", b"1")
    await etcd.ctl("compact", str(last))
    proxy.join()
    await caught_up(recorder, last)
    (relist,) = recorder.relists
    changed, new = recorder.view[b"/nexus/changed"], recorder.view[b"/nexus/new"]
    assert relist.changes == (Delete(b"/nexus/old", last), Put(changed), Put(new))
    await caught_up(recorder, await client.put(b"/nexus/new", b"2"))
    assert recorder.view == await listed(client)


async def test_an_empty_cluster_in_the_place_of_the_old_one_empties_the_view(
    etcd: EtcdCluster, client: EtcdClient, recorder: Recorder
) -> None:
    last = await write(client, ((b"/nexus/%d" % n, b"1") for n in range(5)))
    await caught_up(recorder, last)
    await etcd.wipe(etcd.members[0])
    await etcd.restart(etcd.members[0])
    await eventually(lambda: recorder.relists, timeout=20, what="a fresh listing")
    assert recorder.revision < last
    assert recorder.view == {}
    first = await client.put(b"/nexus/first", b"1")
    await caught_up(recorder, first)
    assert recorder.view == await listed(client)


async def test_a_restored_older_state_takes_back_what_came_after_it(
    etcd: EtcdCluster, client: EtcdClient, recorder: Recorder, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.db"
    await client.put(b"/nexus/a", b"saved")
    await etcd.ctl("snapshot", "save", backup)
    await client.put(b"/nexus/a", b"unsaved")
    await client.put(b"/nexus/b", b"unsaved")
    await caught_up(recorder, await client.put(b"/nexus/c", b"unsaved"))
    await etcd.kill(etcd.members[0])
    await etcd.restore(etcd.members[0], backup)
    await etcd.restart(etcd.members[0])
    await eventually(lambda: recorder.relists, timeout=20, what="a fresh listing")
    assert recorder.view == await listed(client)
    assert recorder.view[b"/nexus/a"].value == b"saved"
    await caught_up(recorder, await client.put(b"/nexus/d", b"1"))


async def test_a_consumer_that_stops_waiting_may_wait_again(client: EtcdClient) -> None:
    async with client.watch_prefix(PREFIX) as watch:
        assert isinstance(await anext(watch), Snapshot)
        put = await client.put(b"/nexus/a", b"0")
        assert (await asyncio.wait_for(anext(watch), timeout=10)).revision == put  # it is open now
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(watch), timeout=0.1)
        put = await client.put(b"/nexus/a", b"1")
        assert (await asyncio.wait_for(anext(watch), timeout=10)).revision == put


async def test_a_consumer_may_stop_waiting_at_any_moment_of_the_opening(client: EtcdClient) -> None:
    for thousandths in range(0, 30, 2):
        async with client.watch_prefix(PREFIX) as watch:
            assert isinstance(await anext(watch), Snapshot)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(watch), timeout=thousandths / 2000)
            put = await client.put(b"/nexus/a", b"%d" % thousandths)
            assert (await asyncio.wait_for(anext(watch), timeout=10)).revision == put


async def test_a_watch_may_be_closed_at_any_moment_of_the_opening(etcd: EtcdCluster) -> None:
    for thousandths in range(0, 30, 2):
        client = EtcdClient(etcd.endpoints, lambda: None)
        async with Recorder(client, PREFIX):
            await asyncio.sleep(thousandths / 2000)
        await client.close()


async def test_closing_the_client_ends_its_watches(etcd: EtcdCluster) -> None:
    client = EtcdClient(etcd.endpoints, lambda: None)
    async with Recorder(client, PREFIX) as recorder:
        await eventually(lambda: recorder.watch.connected)
        await client.close()
        await eventually(lambda: recorder.ended, what="end of the watch")


async def test_a_watch_made_while_etcd_is_down_begins_when_it_comes(
    etcd: EtcdCluster, client: EtcdClient
) -> None:
    await client.put(b"/nexus/a", b"1")
    await etcd.kill(etcd.members[0])
    async with Recorder(client, PREFIX) as recorder:
        await etcd.restart(etcd.members[0])
        await eventually(lambda: b"/nexus/a" in recorder.view, timeout=20)


async def listed(client: EtcdClient) -> dict[bytes, object]:
    return {item.key: item for item in (await client.range(PREFIX)).items}
