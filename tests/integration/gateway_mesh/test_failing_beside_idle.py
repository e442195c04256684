"""One backend fails, in whatever way, beside one that is well and idle: every request is answered."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from nexus_mesh.core.errors import UNREACHED, MeshError, Reason
from support.gateway_bench import GatewayBench

REQUESTS, AT_ONCE = 200, 4
WAYS = [
    ("fail", Reason.UPSTREAM_ERROR),
    ("fail", Reason.UPSTREAM_MALFORMED),
    ("fail", Reason.BACKEND_LOST),
    ("fail", Reason.BACKEND_DOWN),
    ("fail", Reason.OVERLOAD),
    ("fail", Reason.RATE_LIMIT),
    ("fail", Reason.MODEL_NOT_READY),
    ("fail", Reason.MODEL_NOT_FOUND),
    ("fail", Reason.STREAM_IDLE_TIMEOUT),
    ("fail", Reason.DRAINING),
    ("role_then_fail", Reason.UPSTREAM_ERROR),
]


async def burst(bench: GatewayBench, *, stream: bool) -> Counter[str]:
    """How so many requests end, a few at once."""
    ends: Counter[str] = Counter()

    async def one() -> None:
        for _ in range(REQUESTS // AT_ONCE):
            try:
                await (bench.ask_stream() if stream else bench.ask())
                ends["answered"] += 1
            except MeshError as error:
                ends[error.reason] += 1

    await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    return ends


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("mode", "reason"), WAYS)
@pytest.mark.parametrize("preferred", [False, True], ids=["equal", "preferred"])
async def test_a_burst_is_answered(
    bench: GatewayBench, mode: str, reason: Reason, *, stream: bool, preferred: bool
) -> None:
    """B3: no request is failed for the budget while somebody stands idle beside."""
    bad, good = await bench.adapter("bad"), await bench.adapter("good")
    bad.mode, bad.reason = mode, reason
    await bench.start(bad.target(priority=1 if preferred else 50), good.target())
    assert await burst(bench, stream=stream) == {"answered": REQUESTS}
    assert bad.seen


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("capacity", [0, 80])
async def test_many_that_fail_at_once_are_answered_by_who_is_well_and_has_room(
    bench: GatewayBench, capacity: int, *, stream: bool
) -> None:
    """B3: that it is busy with some of them already is no reason to fail the others."""
    bad, good = await bench.adapter("bad"), await bench.adapter("good")
    bad.mode, bad.reason = "fail", Reason.BACKEND_LOST
    bad.delay, good.delay = 0.5, 0.2
    await bench.start(bad.target(priority=1), good.target(capacity=capacity, taken=capacity // 8))
    assert (await bench.ask()).served.backend == "good"  # which has proved itself by this
    asked = [bench.ask_stream() if stream else bench.ask() for _ in range(60)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [result for result in results if isinstance(result, BaseException)] == []
    assert len(bad.seen) == 61


async def test_what_reached_nobody_takes_nothing_of_the_budget(bench: GatewayBench) -> None:
    """B3: a refused connection was no load, so even one that failed lately may be tried instead."""
    gone, shaky = await bench.adapter("gone"), await bench.adapter("shaky")
    gone.mode, gone.reason, gone.metadata = "fail", Reason.BACKEND_DOWN, {UNREACHED: "1"}
    gone.delay = shaky.delay = 0.2
    await bench.start(gone.target(priority=1), shaky.target())
    shaky.mode, shaky.reason = "fail", Reason.OVERLOAD
    with pytest.raises(MeshError):
        await bench.ask()
    shaky.mode = "ok"
    bench.pipeline.traffic.breakers.renew({gone.target().id})
    results = await asyncio.gather(*(bench.ask() for _ in range(60)), return_exceptions=True)
    assert [result for result in results if isinstance(result, BaseException)] == []
    assert len(gone.seen) == 61


async def test_who_failed_lately_is_passed_over_for_who_is_well(bench: GatewayBench) -> None:
    """B3: where the budget is spent, what one backend did is no reason not to ask another."""
    names = ("bad", "worse", "worst", "good")
    boxes = [await bench.adapter(name) for name in names]
    for box in boxes[:3]:
        box.mode, box.reason = "fail", Reason.OVERLOAD
    await bench.start(*(box.target(priority=number) for number, box in enumerate(boxes, 1)))
    with pytest.raises(MeshError):
        await bench.ask()  # three are asked, so that three have failed
    while bench.pipeline._dispatcher._budget.take():  # pyright: ignore[reportPrivateUsage]
        pass
    assert (await bench.ask()).served.backend == "good"
    assert [len(box.seen) for box in boxes] == [2, 1, 1, 1]
