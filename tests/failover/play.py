"""Plays a case: A fails as its row says, and every kind of client asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from failover.clients import READERS, Reader
from failover.judging import Asked, Counted, Verdict, judge, judge_burst
from failover.stage import Metrics, Seat, Stage
from support.fault_backend import healthy
from support.waiting import eventually

__all__ = ["PACE", "burst", "play"]

PACE = 0.3
"""Seconds between two requests of a case that has more than its readers."""
FLAP = 0.4
"""Seconds A is well, gone, or failing."""
REQUESTS = "nexus_gateway_requests_total"
SETTLE = 5.0
"""Seconds until a request that ended is counted."""


async def play(stage: Stage, seat: Seat, readers: Sequence[Reader] = READERS) -> Verdict:
    """Each reader asks at least once, one after the other."""
    row, verdict = seat.case.row, Verdict(seat.case)
    stage.take_late()
    async with _failing(seat):
        for number in range(max(row.requests, len(readers))):
            reader = readers[number % len(readers)]
            if row.times is not None:
                seat.a.arm(row.fault, row.times)
            asked = await _ask(stage, seat, reader, number)
            verdict.asked.append(asked)
            verdict.wrong += judge(seat.case, asked, first=number == 0)
            if row.requests > 1:
                await asyncio.sleep(PACE)
    verdict.late = stage.take_late()
    return verdict


async def burst(stage: Stage, seat: Seat, requests: int, rate: float) -> Verdict:
    """So many requests at an even rate, whatever becomes of those before, while A fails each time."""
    verdict, before, calls = Verdict(seat.case), await stage.metrics(), seat.calls
    clock = asyncio.get_running_loop().time
    stage.take_late()
    async with _failing(seat), asyncio.TaskGroup() as group:
        began, tasks = clock(), []
        for number in range(requests):
            await asyncio.sleep(max(0.0, began + number / rate - clock()))
            body = _body(seat, number)
            tasks.append((body, group.create_task(stage.clients.ask(READERS[number % len(READERS)], body))))
    verdict.late = stage.take_late()
    for body, task in tasks:
        asked = Asked(body, task.result())
        verdict.asked.append(asked)
        verdict.wrong += judge(seat.case, asked, first=False)
    await _counted(stage, before, requests)
    verdict.wrong += judge_burst(verdict, await _growth(stage, seat, before, calls))
    return verdict


@asynccontextmanager
async def _failing(seat: Seat) -> AsyncIterator[None]:
    """A is set to fail inside the block, and well and reachable after it."""
    seat.a.arm(seat.case.row.fault)
    flapping = asyncio.create_task(_flap(seat)) if seat.case.row.flaps else None
    try:
        yield
    finally:
        if flapping is not None:
            flapping.cancel()
            await asyncio.wait({flapping})
            await seat.a.up()
        seat.a.disarm()


async def _flap(seat: Seat) -> None:
    while True:
        seat.a.arm(healthy)
        await seat.a.up()
        await asyncio.sleep(FLAP)
        await seat.a.down()
        await asyncio.sleep(FLAP)
        seat.a.arm(seat.case.row.fault)
        await seat.a.up()
        await asyncio.sleep(FLAP)


async def _ask(stage: Stage, seat: Seat, reader: Reader, number: int) -> Asked:
    body, before, calls = _body(seat, number), await stage.metrics(), seat.calls
    seen = await stage.clients.ask(reader, body)
    await _counted(stage, before, 1)
    return Asked(body, seen, await _growth(stage, seat, before, calls))


async def _growth(stage: Stage, seat: Seat, before: Metrics, calls: tuple[int, int]) -> Counted:
    after, tokens = await stage.metrics(), "nexus_gateway_tokens_total"
    return Counted(
        requests=_grew(before, after, REQUESTS, 'operation="chat"'),
        ok=_grew(before, after, REQUESTS, 'outcome="ok"'),
        prompt=_grew(before, after, tokens, 'kind="prompt"'),
        completion=_grew(before, after, tokens, 'kind="completion"'),
        a=seat.calls[0] - calls[0],
        b=seat.calls[1] - calls[1],
    )


async def _counted(stage: Stage, before: Metrics, requests: int) -> None:
    """Waits until as many requests are counted as were made, unless that will not come."""

    async def enough() -> bool:
        return _grew(before, await stage.metrics(), REQUESTS, 'operation="chat"') >= requests

    with suppress(TimeoutError):
        await eventually(enough, timeout=SETTLE)


def _grew(before: Metrics, after: Metrics, name: str, labels: str) -> float:
    return after.total(name, labels) - before.total(name, labels)


def _body(seat: Seat, number: int) -> dict[str, Any]:
    """No two ask the same, so that nobody gets another's answer unnoticed."""
    body: dict[str, Any] = {
        "model": seat.model,
        "messages": [{"role": "user", "content": f"question {number} of {seat.model}"}],
        "stream": seat.case.streamed,
    }
    return body | ({"stream_options": {"include_usage": True}} if seat.case.streamed else {})
