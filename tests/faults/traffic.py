"""The load under which faults are played: one for all faults in a row, with every request of it on record."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from faults.clients import Clients
from faults.history import History
from faults.models import CROWD_MODELS, PAIR, RESUMED, VICTIMS, solo

__all__ = ["FULL", "SMALL", "STREAMED", "Demand", "Traffic"]


@dataclass(frozen=True)
class Demand:
    """How much there is of the traffic, and what is asked of it and of the mesh.

    `rate`: whole answers asked for per second. `crowd`: so many clients stream from the crowd, and no more backends of
    it are asked for anything. `interval`: seconds between two tokens of a victim. `whole` per second and `streams` at
    once: less than that before a fault makes it void. `serving`: seconds in which every service has to serve again.
    `clean`: seconds in which nothing at all may go wrong after that.
    """

    rate: float
    crowd: int
    interval: float
    whole: float
    streams: int
    serving: float
    clean: float

    @property
    def crowd_models(self) -> list[str]:
        return CROWD_MODELS[: self.crowd]

    @property
    def shares(self) -> dict[str, int]:
        """By model: its share of the whole answers."""
        return SHARES | dict.fromkeys(self.crowd_models, 1)


FULL = Demand(rate=60, crowd=24, interval=0.1, whole=50, streams=20, serving=30, clean=10)
"""The rules R1 and R2 to their figures."""
SMALL = Demand(rate=25, crowd=4, interval=0.03, whole=5, streams=2, serving=90, clean=1)
"""For every test run, on any machine, however busy: it shows the same, with less behind it."""

SHARES = {PAIR: 8, **dict.fromkeys(map(solo, VICTIMS), 6)}
STREAMED = {PAIR: 3, RESUMED: 2, **dict.fromkeys(map(solo, VICTIMS), 2)}
"""By model: how many clients stream from it all the time. The crowd's take any model of the crowd in turn."""

PAUSE = 0.1
RECONSIDERING = 0.5
"""Seconds between a stream and the next, and after one that failed: a dead backend is not asked a hundred times."""
LATEST = 1.0
"""Seconds of delay that are caught up with. What is later was not asked for in time, and is not asked for at all."""


class Traffic:
    """`async with Traffic(base_url, demand) as traffic`; at the end of the block every request has ended."""

    def __init__(self, base_url: str, demand: Demand) -> None:
        self.demand = demand
        self.history = History()
        self._clients = Clients(base_url)
        self._stop = asyncio.Event()
        self._rng = random.Random(0)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        self._stop.set()
        await self._task

    def check(self) -> None:
        """Raises what has ended it, if something has."""
        if self._task.done():
            self._task.result()

    async def _run(self) -> None:
        async with self._clients, asyncio.TaskGroup() as group:
            for models, kinds in self._streaming():
                group.create_task(self._stream(models, kinds))
            await self._ask_at_a_rate(group)

    def _streaming(self) -> Iterator[tuple[list[str], list[str]]]:
        """What each client streams from, and by which kinds of reader."""
        for model, count in STREAMED.items():
            for _ in range(count):
                yield [model], self._rng.sample(["raw", "sdk"], 2)
        crowd, kinds = self.demand.crowd_models, itertools.chain(["sdk"], ["sync"], itertools.repeat("raw"))
        for number, kind in zip(range(self.demand.crowd), kinds, strict=False):
            start = number % len(crowd)
            yield [*crowd[start:], *crowd[:start]], [kind]

    async def _stream(self, models: list[str], kinds: list[str]) -> None:
        await asyncio.sleep(self._rng.uniform(0, 1))
        for model, kind in zip(itertools.cycle(models), itertools.cycle(kinds), strict=False):
            if self._stop.is_set():
                return
            operation = self.history.begin(model, stream=True, client=kind)
            await self._clients.ask(operation)
            pause = PAUSE if operation.ok else RECONSIDERING
            await asyncio.sleep(self._rng.uniform(0.5, 1.5) * pause)

    async def _ask_at_a_rate(self, group: asyncio.TaskGroup) -> None:
        """However long the answers take: who is slow must not ease the load."""
        due = time.monotonic()
        for model, kind in self._whole():
            if self._stop.is_set():
                return
            operation = self.history.begin(model, stream=False, client=kind)
            group.create_task(self._clients.ask(operation))
            due = max(due + 1 / self.demand.rate, time.monotonic() - LATEST)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _whole(self) -> Iterator[tuple[str, str]]:
        """Each model as often as its share says, in an order drawn anew each time. Bytes are the cheapest to read."""
        once = [model for model, share in self.demand.shares.items() for _ in range(share)]
        kinds = {model: itertools.cycle(["raw", "sdk"]) for model in SHARES}
        kinds |= {model: itertools.cycle(["raw"] * 9 + ["sync"]) for model in self.demand.crowd_models}
        while True:
            for model in self._rng.sample(once, len(once)):
                yield model, next(kinds[model])
