"""The failover exam, each kind once with short time limits: `make failover` is the whole of it.

B1 to B5, B8, B10: two backends, of which B is healthy and idle. Nothing is lost, nothing looks finished that is not,
and a whole answer comes wherever nothing of it had reached the client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from failover.cases import CASES
from failover.clients import Reader
from failover.play import play
from failover.stage import SHORT, Stage, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with staged(tmp_path_factory.mktemp("failover"), SHORT, CASES) as started:
        yield started


@pytest.mark.parametrize("number", range(len(CASES)), ids=map(str, CASES))
async def test_a_failing_backend_costs_nobody_an_answer(stage: Stage, number: int) -> None:
    """B1-B5, B8, B10, C: as the table of cases has it."""
    client: Reader = "sdk" if number % 2 else "sync"
    verdict = await play(stage, stage.seats[number], ("raw", client))
    assert not verdict.wrong, "\n".join([verdict.what_came, *verdict.wrong])
