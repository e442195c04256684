"""One timer, however many waits."""

from __future__ import annotations

import asyncio

from nexus_gateway.dispatch.streams import Watchdog
from support.waiting import eventually


async def test_barks_once_when_a_wait_lasts_too_long() -> None:
    barks: list[int] = []
    dog = Watchdog(lambda: barks.append(1))
    dog.wait(0.01)
    await eventually(lambda: dog.expired, what="the bark")
    await asyncio.sleep(0.03)
    assert barks == [1]
    dog.close()


async def test_is_silent_while_waits_are_kept_short_or_none_is_on() -> None:
    dog = Watchdog(lambda: None)
    for _ in range(10):
        dog.wait(0.5)
        await asyncio.sleep(0.01)
        dog.rest()
    await asyncio.sleep(0.6)
    assert not dog.expired
    dog.close()


async def test_a_shorter_limit_counts_though_the_timer_was_set_for_a_longer_one() -> None:
    dog = Watchdog(lambda: None)
    dog.wait(60)
    dog.rest()
    dog.wait(0.01)
    await eventually(lambda: dog.expired, what="the bark")
    dog.close()


async def test_closed_it_does_nothing() -> None:
    dog = Watchdog(lambda: None)
    dog.wait(0.01)
    dog.close()
    await asyncio.sleep(0.03)
    assert not dog.expired
