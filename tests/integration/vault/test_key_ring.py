"""S-07, B-66: the life of an API key."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable

import pytest
from nexus_mesh.core.errors import MeshError, Reason
from nexus_vault.core import Core
from nexus_vault.journal import Synced
from nexus_vault.key_news import Revoked
from nexus_vault.key_ring import KeyRing
from support.vault import TurnableClock


def _reason(keys: KeyRing, text: str) -> Reason | None:
    try:
        keys.authenticate(text)
    except MeshError as error:
        return error.reason
    return None


async def _reloaded(core: Core, clock: TurnableClock, environment: str = "live") -> KeyRing:
    ring = KeyRing(core.database, core.pepper, environment, clock)
    await ring.load()
    return ring


async def test_a_key_says_whose_it_is(keys: KeyRing, clock: TurnableClock) -> None:
    made, text = await keys.create("laptop", None)
    assert keys.authenticate(str(text)) == made
    assert (made.id, made.name, made.create_time) == (text.id, "laptop", clock())


async def test_a_key_outlives_a_restart(core: Core, keys: KeyRing, clock: TurnableClock) -> None:
    made, text = await keys.create("laptop", clock() + datetime.timedelta(days=1))
    assert (await _reloaded(core, clock)).authenticate(str(text)) == made


async def test_a_key_ends_when_it_should(keys: KeyRing, clock: TurnableClock) -> None:
    _, text = await keys.create("laptop", clock() + datetime.timedelta(seconds=10))
    clock.turn(seconds=9.9)
    assert _reason(keys, str(text)) is None
    clock.turn(seconds=0.1)
    assert _reason(keys, str(text)) is Reason.CALLER_KEY


@pytest.mark.parametrize("by", [lambda key: key.id, lambda key: key.name], ids=["id", "name"])
async def test_a_revoked_key_is_dead_and_stays_dead(
    core: Core, keys: KeyRing, clock: TurnableClock, by: Callable[[object], str]
) -> None:
    made, text = await keys.create("laptop", None)
    clock.turn(seconds=5)
    revoked = await keys.revoke(by(made))
    assert revoked.revoke_time == clock()
    assert _reason(keys, str(text)) is Reason.CALLER_KEY
    assert _reason(await _reloaded(core, clock), str(text)) is Reason.CALLER_KEY
    clock.turn(seconds=5)
    assert await keys.revoke(by(made)) == revoked


async def test_every_refusal_reads_the_same(core: Core, keys: KeyRing, clock: TurnableClock) -> None:
    _, good = await keys.create("good", None)
    _, revoked = await keys.create("revoked", None)
    await keys.revoke("revoked")
    _, expired = await keys.create("expired", clock() + datetime.timedelta(seconds=1))
    _, foreign = await (await _reloaded(core, clock, "test")).create("foreign", None)
    clock.turn(seconds=2)
    wrong = f"nx_live_{good.id}_{revoked.secret}"
    unknown = f"nx_live_{'a' * 12}_{good.secret}"
    relabelled = f"nx_test_{good.id}_{good.secret}"
    messages = set()
    for text in (revoked, expired, foreign, wrong, unknown, relabelled, "", "é", str(good) + "a"):
        with pytest.raises(MeshError) as refusal:
            keys.authenticate(str(text))
        messages.add((refusal.value.reason, refusal.value.message))
    assert len(messages) == 1
    assert _reason(keys, str(good)) is None


async def test_a_name_has_one_live_key(keys: KeyRing) -> None:
    await keys.create("laptop", None)
    with pytest.raises(MeshError) as refusal:
        await keys.create("laptop", None)
    assert refusal.value.reason is Reason.ALREADY_EXISTS
    await keys.revoke("laptop")
    again, text = await keys.create("laptop", None)
    assert keys.authenticate(str(text)) == again
    assert (await keys.revoke("laptop")).id == again.id


async def test_many_at_once_still_make_one_key_of_a_name(keys: KeyRing) -> None:
    made = await asyncio.gather(*(keys.create("laptop", None) for _ in range(50)), return_exceptions=True)
    assert len([one for one in made if not isinstance(one, MeshError)]) == 1


async def test_an_expired_key_gives_its_name_back(keys: KeyRing, clock: TurnableClock) -> None:
    old, _ = await keys.create("laptop", clock() + datetime.timedelta(seconds=1))
    clock.turn(seconds=2)
    new, _ = await keys.create("laptop", None)
    listed, _ = await keys.page(0, "")
    assert [(key.id, key.revoke_time) for key in listed] == [(new.id, None), (old.id, clock())]


@pytest.mark.parametrize("name", ["", " ", "a" * 65, "a\n", "a\x00", " a"])
async def test_unfit_names_are_refused(keys: KeyRing, name: str) -> None:
    with pytest.raises(MeshError) as refusal:
        await keys.create(name, None)
    assert (refusal.value.reason, refusal.value.metadata) == (Reason.INVALID_REQUEST, {"param": "name"})


async def test_a_key_cannot_be_born_expired(keys: KeyRing, clock: TurnableClock) -> None:
    with pytest.raises(MeshError) as refusal:
        await keys.create("laptop", clock())
    assert refusal.value.metadata == {"param": "expire_time"}


async def test_revoking_what_never_was_is_told(keys: KeyRing) -> None:
    with pytest.raises(MeshError) as refusal:
        await keys.revoke("nothing")
    assert refusal.value.reason is Reason.OBJECT_NOT_FOUND


async def test_pages_hold_every_key_once_newest_first(keys: KeyRing) -> None:
    made = [(await keys.create(f"key {number}", None))[0].id for number in range(7)]
    seen: list[str] = []
    sizes: list[int] = []
    token = ""
    while token or not seen:
        page, token = await keys.page(3, token)
        sizes.append(len(page))
        seen += [key.id for key in page]
    assert (seen, sizes) == (made[::-1], [3, 3, 1])


@pytest.mark.parametrize("token", ["x", "é", "!!!!", "MTIz", "YmVmb3JlIC0x", "A" * 10_000])
async def test_invented_page_tokens_are_refused(keys: KeyRing, token: str) -> None:
    with pytest.raises(MeshError) as refusal:
        await keys.page(10, token)
    assert refusal.value.metadata == {"param": "page_token"}


async def test_negative_page_sizes_are_refused(keys: KeyRing) -> None:
    with pytest.raises(MeshError) as refusal:
        await keys.page(-1, "")
    assert refusal.value.metadata == {"param": "page_size"}


async def test_the_watch_names_revoked_keys_then_each_new_one(
    core: Core, keys: KeyRing, clock: TurnableClock
) -> None:
    before, _ = await keys.create("before", None)
    await keys.revoke("before")
    ring = await _reloaded(core, clock)
    watch = ring.news.follow()
    assert await anext(watch) == Revoked(before.id)
    assert isinstance(await anext(watch), Synced)
    after, _ = await ring.create("after", None)
    await ring.revoke("after")
    await ring.revoke("after")
    assert await asyncio.wait_for(anext(watch), 5) == Revoked(after.id)
    last, _ = await ring.create("last", None)
    await ring.revoke("last")
    assert await asyncio.wait_for(anext(watch), 5) == Revoked(last.id)


async def test_a_caller_that_gives_up_cannot_leave_a_revoked_key_alive(
    core: Core, keys: KeyRing, clock: TurnableClock
) -> None:
    """Cancelled at every step it takes: what the store says and what memory says stay one."""
    for steps in range(30):
        _, text = await keys.create(f"key {steps}", None)
        revoking = asyncio.ensure_future(keys.revoke(text.id))
        for _ in range(steps):
            await asyncio.sleep(0)
        revoking.cancel()
        await asyncio.gather(revoking, return_exceptions=True)
        await keys.revoke("key 0")  # waits for its turn behind what is still under way
        stored = _reason(await _reloaded(core, clock), str(text))
        assert _reason(keys, str(text)) is stored
