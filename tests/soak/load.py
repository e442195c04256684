"""Requests and restarts at an even rate, every one of them accounted for."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from failover.clients import Clients, Seen
from support.fault_backend import Call, FaultBackend, Wire, answer_to, healthy

__all__ = ["AT_ONCE", "Load", "at_a_rate", "restart"]

AT_ONCE = 64
"""Requests, at most, of which a third is enough on an idle machine. What is later than that is caught up with."""
EVERY_STREAM = 5
"""One request of so many is a stream."""
DOWN = 0.15
"""Seconds a restart takes."""
WORK = 0.02
KEPT = 10


async def at_work(call: Call, wire: Wire) -> None:
    """A healthy backend whose answers take a moment, so that restarts meet some under way."""
    await asyncio.sleep(WORK)
    await healthy(call, wire)


class Load:
    """`outcomes`: whole, told (an explicit error), or what must not be: hung, cut, lied. `lost` has some of those."""

    def __init__(self, models: Sequence[str]) -> None:
        self.outcomes: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self.lost: deque[str] = deque(maxlen=KEPT)
        self._models = models
        self._numbers = itertools.count()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._running: set[asyncio.Task[None]] = set()

    @property
    def requests(self) -> int:
        return self.outcomes.total()

    async def ask(self, clients: Clients) -> None:
        """Begins one request, as soon as there is a place for it."""
        await self._places.acquire()
        task = asyncio.create_task(self._ask(clients, next(self._numbers)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def settle(self) -> None:
        """Waits for all that were begun."""
        while self._running:
            await asyncio.wait(self._running)

    async def _ask(self, clients: Clients, number: int) -> None:
        stream = number % EVERY_STREAM == 0
        body: dict[str, Any] = {
            "model": self._models[number % len(self._models)],
            "messages": [{"role": "user", "content": f"question {number}"}],
            "stream": stream,
        }
        try:
            self._note(await clients.ask("raw", body), "".join(answer_to(body["messages"])))
        finally:
            self._places.release()

    def _note(self, seen: Seen, text: str) -> None:
        if seen.state == "whole" and seen.text != text:
            seen.state, seen.detail = "lied", f"{seen.text!r} of {text!r}"
        self.outcomes[seen.state] += 1
        if seen.state == "told":
            self.codes[f"{seen.code}{' in mid-stream' if seen.chunks else ''}"] += 1
        elif seen.state != "whole":
            self.lost.append(str(seen))


async def restart(backend: FaultBackend) -> None:
    """All that is under way at it is cut; it comes back at the same address."""
    await backend.down()
    await asyncio.sleep(DOWN)
    await backend.up()


async def at_a_rate(times: int, seconds: float, once: Callable[[int], Awaitable[None]]) -> None:
    """`once(number)` so many times, evenly over the seconds; what is late is made up for."""
    clock = asyncio.get_running_loop().time
    began = clock()
    for number in range(times):
        await asyncio.sleep(max(0.0, began + number * seconds / times - clock()))
        await once(number)
