"""Followers get what they are promised, however slow they are."""

from __future__ import annotations

import asyncio

from nexus_vault.journal import Journal, Latest, Synced


async def test_latest_comes_at_once_and_replaces() -> None:
    value = Latest("a")
    follower = value.follow()
    assert await anext(follower) == "a"
    value.set("b")
    value.set("c")
    assert await anext(follower) == "c"


async def test_latest_wakes_everyone_who_waits() -> None:
    value = Latest(0)
    followers = [value.follow() for _ in range(100)]
    assert [await anext(follower) for follower in followers] == [0] * 100
    waiting = [asyncio.ensure_future(anext(follower)) for follower in followers]
    await asyncio.sleep(0)
    value.set(1)
    assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [1] * 100


async def test_a_journal_tells_what_was_then_the_marker_then_what_happens() -> None:
    journal = Journal(["a", "b"])
    follower = journal.follow()
    assert [await anext(follower) for _ in range(2)] == ["a", "b"]
    assert isinstance(await anext(follower), Synced)
    journal.append("c")
    assert await asyncio.wait_for(anext(follower), 5) == "c"


async def test_a_journal_loses_nothing_while_a_follower_is_slow() -> None:
    journal: Journal[int] = Journal([0])
    follower = journal.follow()
    assert await anext(follower) == 0
    for entry in range(1, 50):
        journal.append(entry)
    assert isinstance(await anext(follower), Synced)
    assert [await anext(follower) for _ in range(49)] == list(range(1, 50))
