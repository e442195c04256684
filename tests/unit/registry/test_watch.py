"""A watch's steps, applied in order, always give the table; however they are interleaved or cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import strategies as st
from nexus.registry.v1.instance_pb2 import Instance
from nexus.registry.v1.registry_pb2 import WatchResponse
from nexus_mesh.core.errors import MeshError, Reason
from nexus_registry.instances import INSTANCES, message
from nexus_registry.table import Table, watch
from support.properties import examples, given

# "read" lets the watcher run, "cut" breaks its connection; the rest are changes of the table.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 4), st.integers(0, 2)),
        st.tuples(st.just("delete"), st.integers(0, 4), st.just(0)),
        st.tuples(st.just("read"), st.integers(1, 4), st.just(0)),
        st.tuples(st.just("cut"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


async def told(
    table: Table[Instance], epoch: str, revision: int, stale_seconds: Callable[[], int]
) -> AsyncIterator[WatchResponse]:
    """What a client is sent."""
    async for step in watch(table, epoch, revision, stale_seconds):
        yield message(table.epoch, step)


class Follower:
    """A client of Watch: resumes from the last message, or starts over where it must."""

    def __init__(self, table: Table[Instance]) -> None:
        self.rows: dict[str, Instance] = {}
        self._table = table
        self._epoch, self._revision = "", 0
        self._arriving: dict[str, Instance] | None = {}
        self._steps = self._open()

    def _open(self) -> AsyncIterator[WatchResponse]:
        self._arriving = None if self._revision else {}
        return told(self._table, self._epoch, self._revision, lambda: 0)

    def cut(self) -> None:
        self._steps = self._open()

    async def read(self, count: int) -> None:
        """At most `count` messages, fewer if there are no more."""
        for _ in range(count):
            try:
                async with asyncio.timeout(0.001):
                    message = await anext(self._steps)
            except TimeoutError:
                self.cut()
                return
            except MeshError:
                self._epoch, self._revision = "", 0
                self.cut()
                continue
            self._apply(message)

    def _apply(self, message: WatchResponse) -> None:
        assert message.revision >= self._revision or not message.revision
        self._epoch, self._revision = message.epoch, message.revision
        rows = self.rows if self._arriving is None else self._arriving
        match message.WhichOneof("event"):
            case "put":
                rows[message.put.id] = message.put
            case "delete":
                rows.pop(message.delete, None)
            case _:
                self.rows, self._arriving = rows, None


@examples(1_000)
@given(STEPS)
def test_applying_a_watch_gives_the_table(steps: list[tuple[str, int, int]]) -> None:
    async def scenario() -> None:
        table = Table(INSTANCES, graves=3, pending_limit=4)
        follower = Follower(table)
        for kind, which, version in steps:
            if kind == "put":
                table.put(Instance(id=str(which), version=str(version)))
            elif kind == "delete":
                table.delete(str(which))
            elif kind == "read":
                await follower.read(which)
            else:
                follower.cut()
        await follower.read(50)
        assert follower.rows == {instance.id: instance for instance in table.rows()}

    asyncio.run(scenario())


async def test_a_snapshot_row_is_no_point_to_resume_from() -> None:
    table = Table(INSTANCES)
    table.put(Instance(id="a"))
    steps = told(table, "", 0, lambda: 7)
    row, marker = await anext(steps), await anext(steps)
    assert (row.put.id, row.revision) == ("a", 0)
    assert (marker.synced.stale_seconds, marker.revision, marker.epoch) == (7, 1, table.epoch)


async def test_a_watcher_that_does_not_read_is_dropped_and_forgotten() -> None:
    table = Table(INSTANCES, pending_limit=3)
    steps = told(table, "", 0, lambda: 0)
    await anext(steps)
    assert table.watchers == 1
    for number in range(10):
        table.put(Instance(id=str(number)))
    with pytest.raises(MeshError) as caught:
        await anext(steps)
    assert caught.value.reason is Reason.REVISION_EXPIRED
    assert table.watchers == 0


async def test_only_the_newest_of_many_changes_waits() -> None:
    table = Table(INSTANCES, pending_limit=3)
    steps = told(table, "", 0, lambda: 0)
    await anext(steps)
    for number in range(1000):
        table.put(Instance(id="a", version=str(number)))
    assert (await anext(steps)).put.version == "999"
