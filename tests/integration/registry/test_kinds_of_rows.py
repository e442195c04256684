"""A table of another kind of row than instances: nothing but its Kind is written here, and real etcd keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from nexus.types.v1.model_pb2 import Model
from nexus_mesh.core import MeshError, Reason
from nexus_registry.etcd import EtcdClient
from nexus_registry.kind import Kind
from nexus_registry.pages import page
from nexus_registry.store import Store
from nexus_registry.table import Change, Marker, Step, Table, watch
from support.etcd import EtcdCluster
from support.tcp_proxy import TcpProxy
from support.waiting import eventually

MODELS = Kind(
    name="model",
    message=Model,
    prefix=b"/nexus/v1/models/",
    id_of=lambda model: model.id,
    urgent=lambda model: model.loaded,
    owned=lambda model: model.owner != "lost",
)
TTL = 2


class Registry:
    """What a service would put together: a store that fills a table."""

    def __init__(self, endpoints: list[str]) -> None:
        self.table = Table(MODELS, graves=2)
        self.store = Store(MODELS, endpoints, lambda: None, TTL, admits=lambda model: model.owner != "forged")
        self._following = asyncio.create_task(self.store.follow(self))

    def stored(self, row: Model, revision: int, /) -> None:
        self.table.put(row)

    def unstored(self, row_id: str, revision: int, /) -> None:
        self.table.delete(row_id)

    async def close(self) -> None:
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)
        await self.store.close()


@pytest_asyncio.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest_asyncio.fixture
async def client(etcd: EtcdCluster) -> AsyncIterator[EtcdClient]:
    """Somebody else at the same etcd."""
    client = EtcdClient(etcd.endpoints, lambda: None)
    yield client
    await client.close()


async def opened(endpoints: list[str], stack: AsyncExitStack) -> Registry:
    registry = Registry(endpoints)
    stack.push_async_callback(registry.close)
    await asyncio.wait_for(registry.store.loaded.wait(), 20)
    return registry


def ids(registry: Registry) -> list[str]:
    return [model.id for model in registry.table.rows()]


async def test_rows_are_stored_under_a_lease_and_seen_by_another(
    etcd: EtcdCluster, client: EtcdClient, stack: AsyncExitStack
) -> None:
    writer, reader = await opened(etcd.endpoints, stack), await opened(etcd.endpoints, stack)
    for name in ("b", "a"):
        writer.store.keep(Model(id=name, loaded=True))
    await eventually(lambda: ids(reader) == ["a", "b"])
    found = (await client.range(MODELS.prefix)).items
    assert [(item.key, MODELS.decode(item.key, item.value)) for item in found] == [
        (b"/nexus/v1/models/a", Model(id="a", loaded=True)),
        (b"/nexus/v1/models/b", Model(id="b", loaded=True)),
    ]
    assert all(item.lease for item in found)
    writer.store.keep(Model(id="a", loaded=False))
    await eventually(lambda: reader.table.get("a") == Model(id="a"))
    writer.store.drop("a")
    await eventually(lambda: ids(reader) == ["b"])


async def test_they_are_listed_in_pages(etcd: EtcdCluster, stack: AsyncExitStack) -> None:
    registry = await opened(etcd.endpoints, stack)
    for number in range(5):
        registry.store.keep(Model(id=f"m{number}"))
    await eventually(lambda: len(registry.table) == 5)
    first, token = page(registry.table.rows(), MODELS.id_of, "models", 3, "")
    second, end = page(registry.table.rows(), MODELS.id_of, "models", 3, token)
    assert ([model.id for model in (*first, *second)], end) == ([f"m{number}" for number in range(5)], "")
    with pytest.raises(MeshError) as caught:
        page(registry.table.rows(), MODELS.id_of, "others", 3, token)
    assert caught.value.reason is Reason.INVALID_REQUEST


async def test_a_watch_tells_the_rows_a_marker_and_every_change(
    etcd: EtcdCluster, client: EtcdClient, stack: AsyncExitStack
) -> None:
    registry = await opened(etcd.endpoints, stack)
    await client.put(MODELS.key("a"), MODELS.encode(Model(id="a")))
    await eventually(lambda: ids(registry) == ["a"])
    steps = watch(registry.table, "", 0, lambda: 7)
    assert [await told(steps) for _ in range(2)] == [Change(0, "a", Model(id="a")), Marker(1, 7)]
    await client.put(MODELS.key("b"), MODELS.encode(Model(id="b")))
    assert await told(steps) == Change(2, "b", Model(id="b"))
    await client.delete(MODELS.key("a"))
    assert await told(steps) == Change(3, "a", None)
    again = watch(registry.table, registry.table.epoch, 1, lambda: 0)
    assert [await told(again) for _ in range(2)] == [Change(2, "b", Model(id="b")), Change(3, "a", None)]


async def told(steps: AsyncIterator[Step[Model]]) -> Step[Model]:
    return await asyncio.wait_for(anext(steps), 20)


async def test_a_watch_from_before_what_is_remembered_is_refused(
    etcd: EtcdCluster, client: EtcdClient, stack: AsyncExitStack
) -> None:
    registry = await opened(etcd.endpoints, stack)
    for name in "abc":
        await client.put(MODELS.key(name), MODELS.encode(Model(id=name)))
        await client.delete(MODELS.key(name))
    await eventually(lambda: registry.table.revision == 6)
    with pytest.raises(MeshError) as caught:
        await told(watch(registry.table, registry.table.epoch, 1, lambda: 0))
    assert caught.value.reason is Reason.REVISION_EXPIRED


async def test_what_was_compacted_away_while_etcd_was_out_of_reach_is_listed_again(
    etcd: EtcdCluster, client: EtcdClient, stack: AsyncExitStack
) -> None:
    proxy = await stack.enter_async_context(TcpProxy(etcd.endpoints[0]))
    registry = await opened([proxy.endpoint], stack)
    await client.put(MODELS.key("old"), MODELS.encode(Model(id="old")))
    await eventually(lambda: ids(registry) == ["old"])
    proxy.cut()
    await client.delete(MODELS.key("old"))
    await client.put(MODELS.key("new"), MODELS.encode(Model(id="new")))
    await etcd.ctl("compact", str((await client.range(MODELS.prefix)).revision))
    assert ids(registry) == ["old"]
    proxy.join()
    await eventually(lambda: ids(registry) == ["new"], timeout=30)


async def test_a_row_is_lost_with_its_lease_and_a_living_owner_writes_it_again(
    etcd: EtcdCluster, client: EtcdClient, stack: AsyncExitStack
) -> None:
    owner, reader = await opened(etcd.endpoints, stack), await opened(etcd.endpoints, stack)
    owner.store.keep(Model(id="a"))
    await eventually(lambda: ids(reader) == ["a"])
    (item,) = (await client.range(MODELS.prefix)).items
    await etcd.ctl("lease", "revoke", f"{item.lease:x}")
    await eventually(lambda: reader.table.revision > 1, what="the loss")

    async def renewed() -> bool:
        found = (await client.range(MODELS.prefix)).items
        return bool(found) and found[0].lease != item.lease

    await eventually(renewed, timeout=20)
    await owner.close()
    await eventually(lambda: ids(reader) == [], timeout=20, what="expiry")


async def test_only_a_row_that_is_owned_overwrites_another_ones(
    etcd: EtcdCluster, client: EtcdClient, stack: AsyncExitStack
) -> None:
    registry = await opened(etcd.endpoints, stack)
    registry.store.keep(Model(id="a"))
    await eventually(lambda: ids(registry) == ["a"])
    other = Model(id="a", context_tokens=1)
    await client.put(MODELS.key("a"), MODELS.encode(other))
    registry.store.keep(Model(id="a", owner="lost"))
    registry.store.keep(Model(id="b"))
    await eventually(lambda: ids(registry) == ["a", "b"])
    assert registry.table.get("a") == other
    registry.store.keep(Model(id="a", loaded=True))
    await eventually(lambda: registry.table.get("a") == Model(id="a", loaded=True))


async def test_what_is_no_row_of_the_kind_or_not_admitted_is_as_if_it_were_not_there(
    etcd: EtcdCluster, client: EtcdClient, stack: AsyncExitStack
) -> None:
    registry = await opened(etcd.endpoints, stack)
    for name, value in (
        ("junk", b"\xff"),
        ("b", MODELS.encode(Model(id="a"))),
        ("forged", MODELS.encode(Model(id="forged", owner="forged"))),
        ("good", MODELS.encode(Model(id="good"))),
    ):
        await client.put(MODELS.key(name), value)
    await client.put(b"/nexus/v1/modelsx/other", MODELS.encode(Model(id="other")))
    await eventually(lambda: ids(registry) == ["good"])
