"""Plays one fault under traffic, which goes on from one fault to the next."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack

from faults.clients import BOUND
from faults.injectors import Injection
from faults.judging import judge
from faults.scene import Scene
from faults.table import Fault
from faults.traffic import Demand, Traffic
from faults.verdict import Span, Verdict
from support.tcp_proxy import TcpProxy
from support.waiting import eventually

__all__ = ["play"]


async def play(scene: Scene, fault: Fault, seed: int, demand: Demand) -> Verdict:
    """The seed picks the victim and the moment.

    What is clean after one fault is the load before the next. Requests that are under way at the end are judged with
    the next play, or when the traffic ends.
    """
    rng = random.Random(f"{seed} {fault.name}")
    verdict = Verdict(fault, seed, rng.choice("ab"))
    async with AsyncExitStack() as stack:
        wire = None
        if fault.far_adapter:
            await scene.quiet()
            wire = await stack.enter_async_context(scene.far_adapter(verdict.victim))
            stack.push_async_callback(scene.quiet)
        traffic = await scene.traffic(demand)
        await asyncio.sleep(rng.uniform(0.0, 0.5))
        try:
            await scene.serving(demand.serving)
            verdict.load = await scene.loaded(traffic)
        except TimeoutError as error:
            verdict.void = str(error)
        else:
            await _play(scene, verdict, rng, traffic, wire)
    return verdict


async def _play(
    scene: Scene, verdict: Verdict, rng: random.Random, traffic: Traffic, wire: TcpProxy | None
) -> None:
    history, demand, span = traffic.history, traffic.demand, Span(time.monotonic())
    marks: list[str] | None = []
    try:
        marks = await verdict.fault.inject(Injection(scene, verdict.victim, rng, history, wire))
        span.over = time.monotonic()
        await scene.serving(demand.serving)
        await scene.healthy(traffic, span.over)
        span.well = time.monotonic()
        await asyncio.sleep(demand.clean)
    except TimeoutError as error:
        verdict.wrong.append(str(error))
        span.over = span.over or time.monotonic()
        span.well = span.well or time.monotonic()
    verdict.recovery = span.well - span.over
    await eventually(
        lambda: history.all_ended(span.well), timeout=2 * BOUND, what="the end of what was asked"
    )
    await judge(scene, verdict, scene.settle(history), span, marks)
