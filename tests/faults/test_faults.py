"""Every fault of the table, played on real processes under traffic (make faults): what must be seen of it is seen."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from faults.mid_stream import fail_in_mid_stream
from faults.options import SUMMARY, mid_stream_runs, seeds, wants_all
from faults.play import play
from faults.scene import Scene
from faults.stage import playing
from faults.table import FAULTS, Fault
from faults.traffic import FULL, SMALL
from faults.verdict import Verdict, sum_up

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOT_IN_SMALL = {
    "429 without Retry-After",
    "closed before the answer",
    "slow first token, no head",
    "cut in mid-stream by a reset",
    "half an event",
    "usage below zero",
    "content filter in the first event",
    "backend flaps",
    "half-open link to an adapter",
}
"""Slow, or much like another: left out where no seed was asked for."""
SWITCHES_IN_SMALL = {"500", "cut in mid-stream by a close"}
"""The proofs that run with every test run; `--switches` runs them all."""
TRIES = 3
"""Times a switched fault is played until it is seen to go wrong: of one that flaps, whom it meets is chance."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The seed picks the order, too."""
    if "seed" in metafunc.fixturenames:
        faults = [fault for fault in FAULTS if wants_all(metafunc.config) or fault.name not in NOT_IN_SMALL]
        drawn = [
            pytest.param(seed, fault, id=f"{seed}-{fault.name}")
            for seed in seeds(metafunc.config)
            for fault in random.Random(seed).sample(faults, len(faults))
        ]
        metafunc.parametrize(("seed", "fault"), drawn)
    elif "switched" in metafunc.fixturenames:
        every = metafunc.config.getoption("switches")
        chosen = [fault for fault in FAULTS if every or fault.name in SWITCHES_IN_SMALL]
        chosen.sort(key=lambda fault: fault.switch)
        metafunc.parametrize("switched", [pytest.param(fault, id=fault.name) for fault in chosen])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with playing(tmp_path_factory.mktemp("faults")) as started:
        yield started


@pytest.fixture(scope="module")
def plays(pytestconfig: pytest.Config) -> Iterator[list[Verdict]]:
    """Every play of the table, summed up after the last one."""
    verdicts: list[Verdict] = []
    yield verdicts
    if verdicts:
        pytestconfig.stash[SUMMARY].append(sum_up(verdicts))


@pytest.mark.fault_form("seeds")
@pytest.mark.timeout(600)
async def test_what_must_be_seen_of_a_fault_is_seen(
    scene: Scene, seed: int, fault: Fault, plays: list[Verdict], pytestconfig: pytest.Config
) -> None:
    await scene.switch_to(None)
    verdict = await play(scene, fault, seed, FULL if wants_all(pytestconfig) else SMALL)
    plays.append(verdict)
    print(verdict)
    pytestconfig.stash[SUMMARY].append(str(verdict))
    assert not verdict.void, verdict
    assert not verdict.wrong, verdict


async def _first_wrong(scene: Scene, switched: Fault) -> Verdict:
    """Of the first play that went wrong, else of the last."""
    for seed in range(1, TRIES):
        await scene.quiet()  # what went wrong after the fault before proves nothing
        if (verdict := await play(scene, switched, seed, SMALL)).wrong:
            return verdict
    await scene.quiet()
    return await play(scene, switched, TRIES, SMALL)


@pytest.mark.fault_form("switches")
@pytest.mark.timeout(900)
async def test_without_its_guard_a_fault_is_seen_to_go_wrong(
    scene: Scene, switched: Fault, pytestconfig: pytest.Config
) -> None:
    await scene.switch_to(switched.switch)
    verdict = await _first_wrong(scene, switched)
    line = f"{switched.name} with {switched.switch}: {len(verdict.wrong)} wrong, first: {verdict.wrong[:1]}"
    print(line)
    pytestconfig.stash[SUMMARY].append(line)
    assert not verdict.void or verdict.wrong, verdict
    assert verdict.wrong, f"{switched.name} looks well without its guard ({switched.guard})"


@pytest.mark.fault_form("mid_stream")
@pytest.mark.timeout(3600)
async def test_no_failure_in_mid_stream_looks_like_a_normal_end(
    scene: Scene, pytestconfig: pytest.Config
) -> None:
    runs = mid_stream_runs(pytestconfig)
    await scene.switch_to(None)
    tally = await fail_in_mid_stream(scene, runs, seed=pytestconfig.getoption("seed") or 1)
    print(tally)
    pytestconfig.stash[SUMMARY].append(str(tally))
    assert tally.injected == runs
    assert tally.normal == 0, tally.wrong
    assert not tally.wrong
