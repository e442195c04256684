"""What is kept and what goes, on both databases: equal contents, quotas that are raced for, expiry, erasure."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from nexus_mesh.core import MeshError, Reason
from nexus_store.store import Store
from nexus_store.types import Limits, NewObject, Usage
from support.store_client import TENANT, Clock, files, got, opened, put

LIMITS = Limits(object_bytes=1 << 20, bytes=1_000_000, objects=20)
BIG = bytes(range(256)) * 400


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest_asyncio.fixture
async def store(folder: Path, rows: Path | str, clock: Clock) -> AsyncIterator[Store]:
    async with opened(folder, rows, LIMITS, clock) as store:
        yield store


async def refusal(call: object) -> MeshError:
    with pytest.raises(MeshError) as refused:
        await call  # pyright: ignore[reportGeneralTypeIssues]
    return refused.value


async def test_equal_contents_lie_once_and_go_with_the_last(store: Store, folder: Path) -> None:
    first, second = await put(store, b"same"), await put(store, b"same")
    assert first.id != second.id
    assert len(files(folder)) == 1
    await store.delete(TENANT, first.id)
    assert await got(store, second.id) == b"same"
    await store.delete(TENANT, second.id)
    assert not files(folder)
    assert await store.usage(TENANT) == Usage()
    assert (await refusal(store.delete(TENANT, second.id))).reason is Reason.OBJECT_NOT_FOUND


async def test_tenants_share_no_content(store: Store, folder: Path) -> None:
    mine, theirs = await put(store, b"same"), await put(store, b"same", "t2")
    assert len(files(folder)) == 2
    await store.delete(TENANT, mine.id)
    assert await got(store, theirs.id, "t2") == b"same"


async def test_equal_contents_put_and_deleted_at_the_same_time_are_never_lost(store: Store) -> None:
    for _ in range(20):
        kept = await put(store, b"same")
        new, _ = await asyncio.gather(put(store, b"same"), store.delete(TENANT, kept.id))
        assert await got(store, new.id) == b"same"
        await store.delete(TENANT, new.id)


async def test_files_raced_for_keep_within_the_number(store: Store) -> None:
    answers = await asyncio.gather(*(put(store, b"%d" % n) for n in range(60)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert {getattr(one, "reason", one) for one in refused} == {Reason.STORAGE_QUOTA}
    assert len(answers) - len(refused) == 20
    assert (await store.usage(TENANT)).objects == 20
    assert (await put(store, b"x", "t2")).id, "another tenant has its own"


async def test_bytes_raced_for_keep_within_the_quota(store: Store, folder: Path) -> None:
    """Nine of them fit; each alone, and each two, would have passed a look before the write."""
    sent = [BIG + b"%d" % n for n in range(19)]
    answers = await asyncio.gather(*(put(store, data) for data in sent), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert {getattr(one, "reason", one) for one in refused} == {Reason.STORAGE_QUOTA}
    used = await store.usage(TENANT)
    assert used.bytes <= 1_000_000
    assert used.objects == len(answers) - len(refused)
    assert len(files(folder)) == used.objects, "what was refused left nothing"
    while (
        used.objects < 9
    ):  # those on their way in count too, so some may have been refused that fit afterwards
        await put(store, BIG + b"more%d" % used.objects)
        used = await store.usage(TENANT)
    assert (await refusal(put(store, BIG))).reason is Reason.STORAGE_QUOTA


async def test_two_stores_on_one_database_keep_within_the_quota(tmp_path: Path, rows: Path | str) -> None:
    limits = Limits(object_bytes=1 << 20, bytes=100)
    async with opened(tmp_path / "a", rows, limits) as one, opened(tmp_path / "b", rows, limits) as two:
        puts = [put(store, b"0123456789") for store in (one, two) for _ in range(15)]
        answers = await asyncio.gather(*puts, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert {getattr(each, "reason", each) for each in refused} == {Reason.STORAGE_QUOTA}
        assert (await one.usage(TENANT)).bytes <= 100
        assert (await one.usage(TENANT)).objects == len(answers) - len(refused)


async def test_room_is_there_again_after_a_deletion(store: Store) -> None:
    kept = [await put(store, b"%d" % number) for number in range(20)]
    refused = await refusal(put(store, b"x"))
    assert (refused.reason, refused.metadata) == (Reason.STORAGE_QUOTA, {"limit": "20"})
    await store.delete(TENANT, kept[0].id)
    assert await put(store, b"x")


async def test_what_has_expired_is_not_there_and_then_gone(store: Store, folder: Path, clock: Clock) -> None:
    soon, later = await put(store, b"a", expire_time=clock.now + 10), await put(store, b"a")
    other = await put(store, b"b", expire_time=clock.now + 10)
    clock.now += 10
    for one in (soon, other):
        assert (await refusal(store.describe(TENANT, one.id))).reason is Reason.OBJECT_NOT_FOUND
        assert (await refusal(store.get(TENANT, one.id))).reason is Reason.OBJECT_NOT_FOUND
    assert [one.id for _, one in await store.page(TENANT)] == [later.id]
    await store.sweep()
    assert await store.usage(TENANT) == Usage(1, 1)
    assert len(files(folder)) == 1
    assert await got(store, later.id) == b"a", "the same bytes are still needed"


async def test_retention_is_the_longest(folder: Path, rows: Path | str, clock: Clock) -> None:
    async with opened(folder, rows, Limits(object_bytes=10, retention=60), clock) as store:
        assert (await put(store, b"a")).expire_time == clock.now + 60
        assert (await put(store, b"a", expire_time=clock.now + 5)).expire_time == clock.now + 5
        assert (await put(store, b"a", expire_time=clock.now + 500)).expire_time == clock.now + 60


async def test_erase_removes_every_byte(store: Store, folder: Path, tmp_path: Path) -> None:
    secret, name = b"the secret of a tenant", "a-name-nobody-may-read-any-more"
    await put(store, secret, filename=name)
    await put(store, b"other", filename=name)
    theirs = await put(store, secret, "t2")
    assert await store.erase(TENANT) == 2
    assert await store.erase(TENANT) == 0
    assert [path.name for path in files(folder)] == [hashlib.sha256(secret).hexdigest()]
    assert await got(store, theirs.id, "t2") == secret
    assert await store.usage(TENANT) == Usage()
    for path in tmp_path.glob("store.db*"):
        assert name.encode() not in path.read_bytes(), path


async def test_what_comes_while_its_tenant_is_erased_is_not_kept(store: Store, folder: Path) -> None:
    async with store.receive(NewObject(tenant=TENANT, purpose="image")) as incoming:
        await incoming.write(b"half")
        await store.erase(TENANT)
        assert (await refusal(incoming.finish(4, b""))).reason is Reason.CONFLICT
    assert not files(folder)
    assert await put(store, b"after")


async def test_what_is_read_while_its_tenant_is_erased_ends_with_an_error(
    tmp_path: Path, rows: Path | str
) -> None:
    async with opened(tmp_path / "store", rows) as store:
        kept = await put(store, bytes(3 << 20))
        blocks = (await store.get(TENANT, kept.id)).blocks()
        assert await anext(blocks)
        await store.erase(TENANT)
        assert (await refusal(anext(blocks))).reason is Reason.OBJECT_NOT_FOUND


async def test_bytes_that_changed_are_never_given_out_as_whole(store: Store, folder: Path) -> None:
    kept = await put(store, BIG)
    (path,) = files(folder)
    path.write_bytes(BIG[:-1] + b"?")
    assert (await refusal(got(store, kept.id))).reason is Reason.INTERNAL
    path.write_bytes(BIG[:-1])
    assert (await refusal(got(store, kept.id))).reason is Reason.INTERNAL
    path.unlink()
    assert (await refusal(got(store, kept.id))).reason is Reason.INTERNAL
    again = await put(store, BIG)
    assert await got(store, kept.id) == await got(store, again.id) == BIG, "put again, it is whole again"


async def test_what_a_killed_process_left_over_is_removed(folder: Path, rows: Path | str) -> None:
    async with opened(folder, rows) as store:
        kept = await put(store, b"kept")
    (whole,) = files(folder)
    (folder / "parts" / "tmpx").write_bytes(b"half")
    (whole.parent / "00").write_bytes(b"a content whose row was not written")
    async with opened(folder, rows) as store:
        assert files(folder) == [whole]
        assert await got(store, kept.id) == b"kept"
