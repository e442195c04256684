"""One soak: warm up, rest, soak, go on without restarts until the breakers are closed, rest, compare."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from failover.clients import Clients
from soak.gauges import Gauges, breakers_open, medians
from soak.load import AT_ONCE, Load, at_a_rate, at_work, restart
from support.e2e_mesh import serving
from support.fault_backend import FaultBackend
from support.live_mesh import LiveMesh, backend

__all__ = ["SHORTEST", "Plan", "soak"]

MODELS = tuple(f"soak-{number}" for number in range(4))
RESUME = f'[routing]\nresume = ["{MODELS[0]}"]\n'
WARM_UP = 0.1
"""Of the time, and of the requests and restarts."""
CROWDS = 10
GROWTH = 2.0
"""Per cent."""
SHORTEST = 600.0
"""Seconds from which on growth is judged: before that, caches fill."""
CLOSING_SECONDS = 150.0
"""For breakers to close, once nothing restarts any more: twice the longest time one leaves a target alone."""
PATIENCE = 60.0
REPORT_SECONDS = 30.0


@dataclass(frozen=True)
class Plan:
    """How long, and how much of everything in that time."""

    seconds: float
    requests: int
    restarts: int
    backends: int

    def part(self, share: float) -> Plan:
        return Plan(
            self.seconds * share, round(self.requests * share), round(self.restarts * share), self.backends
        )


@dataclass
class Soaked:
    """A mesh under load, and what is known of it."""

    mesh: LiveMesh
    backends: list[FaultBackend]
    load: Load
    gauges: Gauges
    restarts: int = 0


async def soak(home: Path, plan: Plan) -> list[str]:
    """What is wrong after it; prints how it goes. Takes a little longer than the plan has it."""
    async with _started(home, plan) as soaked:
        reporting = asyncio.create_task(_report(soaked))
        try:
            await _crowd(soaked)
            await _run(soaked, plan.part(WARM_UP))
            before = await _files_at_rest(soaked)
            watching = asyncio.create_task(soaked.gauges.watch())
            await _run(soaked, plan.part(1 - WARM_UP))
            watching.cancel()
            left, seconds = await _close_breakers(soaked, plan)
            after = await _files_at_rest(soaked)
        finally:
            reporting.cancel()
            with suppress(asyncio.CancelledError):
                await reporting
        print(f"breakers: {left} open, {seconds:.0f} s after the last restart", flush=True)
        return [
            *_growth(soaked.gauges, judged=plan.seconds >= SHORTEST),
            *_files(before, after),
            *([f"{left} breakers are open"] if left else []),
            *_lost(soaked),
        ]


@asynccontextmanager
async def _started(home: Path, plan: Plan) -> AsyncIterator[Soaked]:
    async with AsyncExitStack() as stack:
        backends = [
            await stack.enter_async_context(
                FaultBackend([MODELS[number % len(MODELS)], MODELS[(number + 1) % len(MODELS)]], at_work)
            )
            for number in range(plan.backends)
        ]
        tables = [backend(f"box-{number}", one.url) for number, one in enumerate(backends)]
        mesh = await stack.enter_async_context(serving(home, "\n".join([RESUME, *tables]), *MODELS))
        yield Soaked(mesh, backends, Load(MODELS), Gauges(mesh))


async def _run(soaked: Soaked, plan: Plan) -> None:
    """Requests and restarts side by side, to the end of both."""
    turns = itertools.cycle(soaked.backends)
    async with _clients(soaked) as ask, asyncio.TaskGroup() as restarts:

        async def next_restart(_: int) -> None:
            restarts.create_task(restart(next(turns)))
            soaked.restarts += 1

        async with asyncio.TaskGroup() as group:
            group.create_task(at_a_rate(plan.requests, plan.seconds, ask))
            group.create_task(at_a_rate(plan.restarts, plan.seconds, next_restart))


async def _crowd(soaked: Soaked) -> None:
    """As many at once as there ever are: what that takes is not given back, and is no growth afterwards."""
    async with _clients(soaked) as ask:
        await at_a_rate(CROWDS * AT_ONCE, 0.0, ask)


@asynccontextmanager
async def _clients(soaked: Soaked) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """What begins a request. At the end of the block all have ended, and no connection of theirs is left."""
    async with Clients(soaked.mesh.base_url, PATIENCE) as clients:
        try:
            yield lambda _: soaked.load.ask(clients)
        finally:
            await soaked.load.settle()


async def _close_breakers(soaked: Soaked, plan: Plan) -> tuple[int, float]:
    """Requests as before, without restarts: how many breakers stay open, and after how many seconds."""
    began, rate = time.monotonic(), plan.requests / plan.seconds
    async with _clients(soaked) as ask:
        while (left := await breakers_open(soaked.mesh)) and time.monotonic() - began < CLOSING_SECONDS:
            await at_a_rate(max(1, round(rate)), 1.0, ask)
    return left, time.monotonic() - began


async def _files_at_rest(soaked: Soaked) -> dict[str, int]:
    """How many spare connections to a backend there are is chance, so all of them are cut before."""
    await asyncio.gather(*map(restart, soaked.backends))
    return await soaked.gauges.files_at_rest()


async def _report(soaked: Soaked) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(REPORT_SECONDS)
        load = soaked.load
        outcomes = ", ".join(f"{count} {state}" for state, count in load.outcomes.most_common())
        print(
            f"{time.monotonic() - began:6.0f} s: {load.requests} requests ({outcomes}), {soaked.restarts} restarts; "
            f"{soaked.gauges.now()}; {await breakers_open(soaked.mesh)} breakers open",
            flush=True,
        )


def _growth(gauges: Gauges, *, judged: bool) -> list[str]:
    wrong: list[str] = []
    for name, readings in gauges.memory.items():
        first, last = medians(readings)
        growth = 100 * (last / first - 1)
        print(f"{name}: {first:.1f} -> {last:.1f} MiB ({growth:+.1f} %)", flush=True)
        if judged and growth > GROWTH:
            wrong.append(f"the memory of {name} grew by {growth:.1f} %")
    return wrong


def _files(before: dict[str, int], after: dict[str, int]) -> list[str]:
    for name, count in before.items():
        print(f"{name}: {count} -> {after[name]} open files at rest", flush=True)
    return [
        f"{after[name] - count} files of {name} are left open"
        for name, count in before.items()
        if after[name] > count
    ]


def _lost(soaked: Soaked) -> list[str]:
    """Requests that came to no end that is one, and services that did not live through it."""
    load = soaked.load
    if load.codes:
        print(f"explicit errors: {', '.join(f'{count} {code}' for code, count in load.codes.most_common())}")
    lost = load.requests - load.outcomes["whole"] - load.outcomes["told"]
    wrong = [f"{lost} requests were lost: {[*load.lost]}"] if lost else []
    return wrong + [f"{name} was restarted" for name in soaked.gauges.restarted()]
