"""Three members: the leader is killed or frozen while another client writes all the time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from nexus_registry.etcd import EtcdClient, EtcdError
from support.etcd import EtcdCluster, EtcdMember
from support.etcd_history import read_history
from support.etcd_recorder import Recorder
from support.waiting import eventually

PREFIX = b"/nexus/"


class Writer:
    """Puts and deletes a few keys, one operation after the other, whatever happens."""

    def __init__(self, endpoints: list[str]) -> None:
        self._client = EtcdClient(endpoints, lambda: None, deadline=1.0)
        self.done = 0

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Writer]:
        task = asyncio.create_task(self._write())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def finish(self) -> int:
        """The revision of one last write, after which nothing is under way any more."""
        try:
            return await self._client.put(PREFIX + b"last", b"")
        finally:
            await self._client.close()

    async def _write(self) -> None:
        n = 0
        while True:
            key = PREFIX + b"%d" % (n % 7)
            with suppress(EtcdError):
                await (self._client.delete(key) if n % 5 == 4 else self._client.put(key, b"%d" % n))
                self.done += 1
            n += 1
            await asyncio.sleep(0.005)


async def progress(writer: Writer, operations: int) -> None:
    target = writer.done + operations
    await eventually(lambda: writer.done >= target, timeout=60, what=f"{operations} more writes")


def watched_from(etcd: EtcdCluster, first: EtcdMember) -> list[str]:
    """Endpoints with `first` in front, so that a client begins there."""
    return [first.endpoint, *(e for e in etcd.endpoints if e != first.endpoint)]


@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_no_event_is_lost_or_doubled_when_the_leader_goes(etcd_trio: EtcdCluster, fault: str) -> None:
    leader = await etcd_trio.leader()
    writer = Writer(etcd_trio.endpoints)
    client = EtcdClient(watched_from(etcd_trio, leader), lambda: None)
    async with Recorder(client, PREFIX) as recorder:
        await eventually(lambda: recorder.watch.connected)
        async with writer.writing():
            await progress(writer, 50)
            if fault == "kill":
                await etcd_trio.kill(leader)
            else:
                etcd_trio.freeze(leader)
            await progress(writer, 100)
            await eventually(lambda: len(recorder.states) >= 3 and recorder.watch.connected, timeout=60)
            await progress(writer, 50)
        last = await writer.finish()
        await eventually(lambda: recorder.revision == last, timeout=60, what="the last revision")
        assert recorder.relists == []
        assert recorder.events == await read_history(etcd_trio, PREFIX, last)
        assert (
            tuple(recorder.view[key] for key in sorted(recorder.view)) == (await client.range(PREFIX)).items
        )
        if fault == "freeze":
            etcd_trio.thaw(leader)
    await client.close()


async def test_leases_are_kept_through_the_death_of_the_leader(etcd_trio: EtcdCluster) -> None:
    leader = await etcd_trio.leader()
    client = EtcdClient(watched_from(etcd_trio, leader), lambda: None)
    lease = await client.leases.grant(6)
    await client.put(PREFIX + b"a", b"1", lease.id)
    await etcd_trio.kill(leader)
    await asyncio.sleep(8)
    assert not lease.lost.is_set()
    assert await client.get(PREFIX + b"a") is not None
    await client.close()


async def test_a_member_without_its_leader_ends_the_watch_instead_of_going_stale(
    etcd_trio: EtcdCluster,
) -> None:
    survivor, *others = etcd_trio.members
    client = EtcdClient([survivor.endpoint], lambda: None)
    async with Recorder(client, PREFIX) as recorder:
        await eventually(lambda: recorder.watch.connected)
        for member in others:
            await etcd_trio.kill(member)
        # The survivor is alive and answers; only the `hasleader` metadata makes it end the stream.
        await eventually(lambda: not recorder.watch.connected, timeout=30, what="the end of the stream")
        await asyncio.gather(*(etcd_trio.restart(member) for member in others))
        await eventually(lambda: recorder.watch.connected, timeout=60, what="the watch")
        last = await client.put(PREFIX + b"a", b"1")
        await eventually(lambda: recorder.revision == last, timeout=20)
    await client.close()
