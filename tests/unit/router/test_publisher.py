"""When snapshots are made and who gets which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from nexus.router.v1.snapshot_pb2 import Snapshot, Target
from nexus_mesh.core.errors import MeshError, Reason
from nexus_router.publisher import Publisher
from support.waiting import eventually


class Source:
    """What the publisher compiles: a snapshot whose only target carries `name`."""

    def __init__(self) -> None:
        self.name = "a"
        self.compiled = 0
        self.again: float | None = None

    def compile_now(self) -> tuple[Snapshot, float | None]:
        self.compiled += 1
        again, self.again = self.again, None
        return Snapshot(targets=[Target(id=self.name)]), again


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def publisher(source: Source) -> AsyncIterator[Publisher]:
    publisher = Publisher(source.compile_now)
    task = asyncio.create_task(publisher.run())
    yield publisher
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def published(publisher: Publisher, source: Source, name: str) -> Snapshot:
    source.name = name
    publisher.touch(urgent=True)
    return await newest(publisher, name)


async def newest(publisher: Publisher, name: str) -> Snapshot:
    def there() -> bool:
        try:
            return publisher.newest.targets[0].id == name
        except MeshError:
            return False

    await eventually(there)
    return publisher.newest


async def test_not_ready_before_the_first(publisher: Publisher) -> None:
    with pytest.raises(MeshError) as caught:
        await anext(publisher.watch())
    assert caught.value.reason is Reason.NOT_READY
    assert caught.value.retry_after


async def test_a_watcher_gets_the_newest_and_each_newer(publisher: Publisher, source: Source) -> None:
    first = await published(publisher, source, "a")
    watch = publisher.watch()
    assert (await anext(watch)) is first
    second = await published(publisher, source, "b")
    assert (await anext(watch)) is second
    assert (first.version, second.version) == (1, 2)
    assert second.create_time.seconds > 0


async def test_a_slow_watcher_gets_only_the_newest(publisher: Publisher, source: Source) -> None:
    await published(publisher, source, "a")
    watch = publisher.watch()
    await anext(watch)
    for name in "bcd":
        await published(publisher, source, name)
    snapshot = await anext(watch)
    assert (snapshot.targets[0].id, snapshot.version) == ("d", 4)


async def test_many_changes_at_once_are_one_snapshot(publisher: Publisher, source: Source) -> None:
    for _ in range(1000):
        publisher.touch(urgent=True)
    await newest(publisher, "a")
    assert source.compiled == 1


async def test_no_change_is_no_snapshot(publisher: Publisher, source: Source) -> None:
    first = await published(publisher, source, "a")
    publisher.touch(urgent=True)
    await eventually(lambda: source.compiled == 2)
    assert publisher.newest is first


async def test_load_alone_is_told_too(publisher: Publisher, source: Source) -> None:
    await published(publisher, source, "a")
    source.name = "b"
    publisher.touch(urgent=False)
    assert (await newest(publisher, "b")).version == 2


async def test_it_compiles_again_when_it_was_told_to(publisher: Publisher, source: Source) -> None:
    source.again = asyncio.get_running_loop().time() + 0.05
    await published(publisher, source, "a")
    source.name = "b"
    assert (await newest(publisher, "b")).version == 2
