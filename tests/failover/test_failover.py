"""The failover exam, each kind once with short time limits: `make failover` is the whole of it.

B1 to B5, B8, B10: two backends, of which B is healthy and idle. Nothing is lost, nothing looks finished that is not,
and a whole answer comes wherever nothing of it had reached the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from failover.cases import CASES
from failover.clients import Reader, Seen
from failover.play import PACE, play
from failover.stage import SHORT, Stage, staged
from support.e2e_mesh import HELLO
from support.fault_backend import refuse
from support.waiting import eventually

SPARE = CASES[0]
"""A seat that no case is played at."""
EJECTING = 5
AGAIN_WITHIN = 90.0
"""Seconds. The longest pause a target is given is a minute."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with staged(tmp_path_factory.mktemp("failover"), SHORT, [*CASES, SPARE]) as started:
        yield started


@pytest.mark.parametrize("number", range(len(CASES)), ids=map(str, CASES))
async def test_a_failing_backend_costs_nobody_an_answer(stage: Stage, number: int) -> None:
    """B1-B5, B8, B10, C: as the table of cases has it."""
    client: Reader = "sdk" if number % 2 else "sync"
    verdict = await play(stage, stage.seats[number], ("raw", client))
    assert not verdict.wrong, "\n".join([verdict.what_came, *verdict.wrong])


async def test_a_backend_that_is_well_again_is_asked_again(stage: Stage) -> None:
    """B2: it fails until it is left out, says 429 when it is to prove itself, and is well from then on."""
    seat = stage.seats[-1]
    seat.a.arm(refuse(500), times=EJECTING)
    answers: list[Seen] = []

    async def answered_by_a() -> bool:
        if seat.calls[0] == EJECTING:
            seat.a.arm(refuse(429), times=1)
        body = {"model": seat.model, "messages": HELLO, "stream": False}
        answers.append(await stage.clients.ask("raw", body))
        await asyncio.sleep(PACE)
        return answers[-1].headers.get("x-nexus-backend", "").startswith("a")

    await eventually(answered_by_a, timeout=AGAIN_WITHIN, what="A in use again")
    assert {seen.state for seen in answers} == {"whole"}, [str(seen) for seen in answers]
    assert seat.calls[0] > EJECTING + 1
