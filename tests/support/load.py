"""Steady traffic against an endpoint, every request accounted for."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp


@dataclass(slots=True)
class Tally:
    """What became of the requests. `failures` has one line each."""

    unary: int = 0
    streams: int = 0
    failures: list[str] = field(default_factory=list)
    backends: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)
    latencies: list[float] = field(default_factory=list)
    """Seconds of each unary request that was answered."""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def __str__(self) -> str:
        return (
            f"{self.unary} unary, {self.streams} streams, {len(self.failures)} failed in {self.seconds:.0f} s"
            f" {self.failures[:3] or ''}"
        )


@asynccontextmanager
async def load(
    base_url: str, model: str, *, unary: int = 8, streams: int = 4, pause: float = 0.05, key: str = "none"
) -> AsyncIterator[Tally]:
    """Runs `unary` loops of short requests and `streams` loops of streams until the block is left."""
    tally, stop = Tally(), asyncio.Event()
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout, headers={"Authorization": f"Bearer {key}"}) as session:
        url = f"{base_url}/chat/completions"
        loops = [_loop(stop, pause, tally, _unary, session, url, model) for _ in range(unary)]
        loops += [_loop(stop, pause, tally, _stream, session, url, model) for _ in range(streams)]
        tasks = [asyncio.ensure_future(loop) for loop in loops]
        try:
            yield tally
        finally:
            stop.set()
            await asyncio.gather(*tasks)


async def _loop(stop: asyncio.Event, pause: float, tally: Tally, once: Any, *args: Any) -> None:
    while not stop.is_set():
        try:
            await once(tally, *args)
        except (aiohttp.ClientError, TimeoutError, ValueError, AssertionError) as error:
            tally.failures.append(f"{once.__name__[1:]} at {tally.seconds:.1f} s: {error!r}"[:300])
        await asyncio.sleep(pause)


async def _unary(tally: Tally, session: aiohttp.ClientSession, url: str, model: str) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    began = time.monotonic()
    async with session.post(url, json=body) as answer:
        text = await answer.text()
        assert answer.status == 200, f"{answer.status} {text}"
        assert json.loads(text)["choices"][0]["finish_reason"], text
        tally.backends[answer.headers["x-nexus-backend"]] += 1
        tally.latencies.append(time.monotonic() - began)
    tally.unary += 1


async def _stream(tally: Tally, session: aiohttp.ClientSession, url: str, model: str) -> None:
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    async with session.post(url, json=body) as answer:
        text = await answer.text()
    assert answer.status == 200, f"{answer.status} {text}"
    assert text.endswith("data: [DONE]\n\n"), f"cut: {text[-200:]}"
    assert '"finish_reason":"' in text, f"no finish: {text[-200:]}"
    tally.streams += 1
