"""Bytes of bodies under way: a share for each, room for one more, turns in order, and nothing lost or kept."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest
from nexus_gateway.intake.intake import MOST_WAITING, BodyBudget, Hold
from nexus_mesh.core.errors import MeshError, Reason

pytestmark = pytest.mark.security
PATIENT = 60.0


def budget(total: int = 128, share: float = 0.5, wait: float = 0.0) -> BodyBudget:
    return BodyBudget(total, share, wait)


async def refused(kept: BodyBudget, owner: str, size: int) -> Reason:
    with pytest.raises(MeshError) as caught:
        await kept.take(owner, size)
    assert caught.value.retry_after
    assert caught.value.retry_after >= 1
    return caught.value.reason


async def test_one_tenant_has_its_share_and_no_more() -> None:
    """A5: half of all, at the default; what it is told is that its own requests are in the way."""
    kept = budget()
    for _ in range(4):
        await kept.take("noisy", 16)
    assert await refused(kept, "noisy", 16) is Reason.RATE_LIMIT
    assert kept.used == 64


async def test_there_is_room_for_one_more_however_many_have_taken_theirs() -> None:
    """A5: the more is taken, the less one may take; small bodies always pass."""
    kept = budget(1 << 20)
    for number in range(12):
        owner = f"tenant {number}"
        with contextlib.suppress(MeshError):
            while True:
                await kept.take(owner, 16)
    assert kept.used < 1 << 20
    await kept.take("another", 64)


async def test_who_takes_nothing_is_told_that_others_are_in_the_way() -> None:
    kept = budget()
    await kept.take("a", 64)
    await kept.take("b", 32)
    assert await refused(kept, "c", 32) is Reason.OVERLOAD
    await kept.take("c", 16)


async def test_a_place_that_comes_free_goes_to_who_waits_first() -> None:
    kept = budget(wait=PATIENT)
    await kept.take("a", 64)
    came: list[str] = []

    async def wait(owner: str, size: int) -> None:
        await kept.take(owner, size)
        came.append(owner)

    waiting = [asyncio.create_task(wait("a", 32)), asyncio.create_task(wait("b", 40))]
    await asyncio.sleep(0)
    small = asyncio.create_task(wait("c", 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert came == ["c"], "who fits passes those who have only to wait for their own share"
    kept.give_back("a", 64)
    await asyncio.gather(*waiting, small)
    assert came == ["c", "a", "b"]
    assert kept.used == 73


async def test_nobody_small_passes_one_there_is_no_room_for() -> None:
    """Else a large body never had a turn."""
    kept = budget(100, wait=PATIENT)
    await kept.take("a", 50)
    await kept.take("b", 20)
    large = asyncio.create_task(kept.take("c", 45))
    await asyncio.sleep(0)
    small = asyncio.create_task(kept.take("d", 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not small.done()
    kept.give_back("a", 50)
    kept.give_back("b", 20)
    await asyncio.gather(large, small)
    assert kept.used == 46


async def test_only_so_many_may_wait() -> None:
    kept = budget(wait=PATIENT)
    await kept.take("a", 64)
    waiting = [asyncio.create_task(kept.take("a", 16)) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)
    assert await refused(kept, "a", 16) is Reason.RATE_LIMIT
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    kept.give_back("a", 64)
    assert kept.used == 0


async def test_a_hold_grows_as_bytes_come_and_is_given_back_once() -> None:
    kept = budget()
    hold = Hold(kept, "a")
    await hold.reach(10)
    await hold.reach(8)
    await hold.reach(30)
    assert kept.used == 30
    hold.release()
    hold.release()
    assert kept.used == 0


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_nothing_is_lost_and_nothing_too_much_given(seed: int) -> None:
    """A5: holds, waits, timeouts and clients that leave, in any order."""
    chance, kept = random.Random(seed), budget(1000, wait=0.01)

    async def request(owner: str) -> None:
        hold = Hold(kept, owner)
        try:
            await hold.reach(chance.randrange(1, 300))
            assert kept.used <= 1000
            await asyncio.sleep(chance.random() / 100)
        finally:
            hold.release()

    tasks = [asyncio.create_task(request(f"t{chance.randrange(4)}")) for _ in range(200)]
    for task in chance.sample(tasks, 60):
        await asyncio.sleep(0.0005)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert kept.used == 0
    await kept.take("last", 400)
