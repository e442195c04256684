"""Work that stops the loop: in steps, one owner at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

import pytest
from nexus_mesh.core.turns import Turns, at_once


def counted(seen: list[str], name: str, steps: int) -> Generator[None, None, str]:
    for number in range(steps):
        seen.append(f"{name}{number}")
        yield
    return name


async def test_one_owner_at_a_time_and_others_in_between() -> None:
    """A5: nobody's large body is begun while another one's is read, and the loop goes on between the steps."""
    turns, seen = Turns(), list[str]()

    async def own(name: str) -> str:
        async with turns:
            return await turns.steps(counted(seen, name, 3))

    async def others() -> None:
        while len(seen) < 6:
            seen.append("-")
            await asyncio.sleep(0)

    told, _ = await asyncio.gather(asyncio.gather(own("a"), own("b")), others())
    assert told == ["a", "b"]
    assert [each for each in seen if each != "-"] == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert "-" in seen[1 : seen.index("a2")]


async def test_what_fails_leaves_the_turn_to_the_next() -> None:
    turns = Turns()
    with pytest.raises(ZeroDivisionError):
        async with turns:
            await turns.step(divmod, 1, 0)
    async with turns:
        assert await turns.step(divmod, 7, 2) == (3, 1)


def test_small_work_is_done_at_once() -> None:
    seen: list[str] = []
    assert at_once(counted(seen, "a", 3)) == "a"
    assert seen == ["a0", "a1", "a2"]
