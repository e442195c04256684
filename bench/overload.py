"""Ten times more than a backend can do: what still gets through, how long it takes, how soon the rest is told.

The backend has a fixed number of places and takes a fixed time for each stream, so its peak is known exactly.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bench import answers
from bench.backends import CHUNKS_PER_SECOND, engine
from bench.client import Endpoint, StreamReader, StreamResult, request
from bench.measure import Figures, percentile
from bench.nexus import ON_THE_PATH, SETTINGS, backend_table, create_key, up
from bench.processes import Usage

__all__ = ["overload"]

STRETCH = 0.6
"""For answers in no more than twice the usual time; by default more may wait, for longer."""
PLACES = 32
CHUNKS = 75
TAKES = CHUNKS / CHUNKS_PER_SECOND
TIMES = 10
SETTLED = 1.2
"""A request that takes at most so many times the normal time shows that all is as before."""
RECOVERY_SECONDS = 60.0


@dataclass(slots=True)
class Seen:
    """What clients saw. Milliseconds; of those served the moment of their end too, in monotonic seconds."""

    served: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)

    def note(self, result: StreamResult, began: float) -> None:
        now = time.monotonic()
        milliseconds = (now - began) * 1e3
        if not result.error:
            self.served.append(milliseconds)
            self.ended.append(now)
        elif result.error in ("status 503", "status 429"):
            self.refused.append(milliseconds)
        else:
            self.errors[result.error] = self.errors.get(result.error, 0) + 1

    def steady(self, began: float, seconds: float) -> float:
        """Served per second, once the first have ended, over a whole number of times that one takes.

        Those that began together end together: part of such a time would have all of them, or none.
        """
        since = began + 2 * TAKES
        length = int((seconds - 2 * TAKES) / TAKES) * TAKES
        return sum(since <= moment < since + length for moment in self.ended) / length


async def overload(folder: Path, seconds: float) -> Figures:
    """Goodput beside the peak, latencies of served and refused requests, seconds until all is as before."""
    model = answers.STREAM_MODEL
    async with engine(folder / "overload.log", model) as (port, _):
        tables = (
            backend_table("paced", port) + f"max_concurrency = {PLACES}\n\n[queue]\nstretch = {STRETCH}\n"
        )
        async with up(folder / "overload", SETTINGS + tables) as mesh:
            endpoint = mesh.endpoint(await create_key(mesh.layout.home))
            await _closed(endpoint, 4, 3)
            peak, normal = await _peak(endpoint, seconds)
            usage = Usage({role: mesh.pids[role] for role in ON_THE_PATH})
            seen, goodput, left = await _flood(endpoint, TIMES * peak, seconds)
            spent = usage.read()
            recovery = await _recovery(endpoint, percentile(normal.served, 0.5))
            await asyncio.gather(*left)
    if seen.errors:
        print(f"    errors: {seen.errors}", flush=True)
    return {
        "peak_per_s": peak,
        "goodput_percent": 100 * goodput / peak,
        "served": float(len(seen.served)),
        "refused": float(len(seen.refused)),
        "normal_p99_ms": percentile(normal.served, 0.99),
        "served_p50_ms": percentile(seen.served, 0.50),
        "served_p99_ms": percentile(seen.served, 0.99),
        "served_p99_times_normal": percentile(seen.served, 0.99) / percentile(normal.served, 0.99),
        "refused_p50_ms": percentile(seen.refused, 0.50),
        "refused_p99_ms": percentile(seen.refused, 0.99),
        "recovery_s": recovery,
        "errors": float(sum(seen.errors.values())),
        **{f"{role}_cpu_percent": 100 * used / seconds for role, used in spent.items()},
    }


async def _peak(endpoint: Endpoint, seconds: float) -> tuple[float, Seen]:
    """As many at once as there are places, all the time: streams per second, and what they saw."""
    began = time.monotonic()
    seen = await _closed(endpoint, PLACES, seconds)
    return seen.steady(began, seconds), seen


async def _closed(endpoint: Endpoint, clients: int, seconds: float) -> Seen:
    seen, until = Seen(), time.monotonic() + seconds

    async def client(number: int) -> None:
        await asyncio.sleep(TAKES * number / clients)
        while time.monotonic() < until:
            await _once(endpoint, seen)

    await asyncio.gather(*(client(number) for number in range(clients)))
    return seen


async def _flood(
    endpoint: Endpoint, rate: float, seconds: float
) -> tuple[Seen, float, Iterable[asyncio.Task[None]]]:
    """New clients at an even rate, whatever becomes of those before; goodput, and those who are not done."""
    seen, began, sent = Seen(), time.monotonic(), 0
    clients: set[asyncio.Task[None]] = set()
    while (elapsed := time.monotonic() - began) < seconds:
        while sent < elapsed * rate:
            sent += 1
            clients.add(asyncio.create_task(_once(endpoint, seen)))
        await asyncio.sleep(0.005)
    return seen, seen.steady(began, seconds), clients


async def _recovery(endpoint: Endpoint, normal_ms: float) -> float:
    """Seconds until a request is served as before, from the end of the flood on."""
    began = time.monotonic()
    while time.monotonic() - began < RECOVERY_SECONDS:
        at, seen = time.monotonic(), Seen()
        await _once(endpoint, seen)
        if seen.served and seen.served[0] <= SETTLED * normal_ms:
            return at - began
    return RECOVERY_SECONDS


async def _once(endpoint: Endpoint, seen: Seen) -> None:
    loop, result, began = asyncio.get_running_loop(), StreamResult(CHUNKS), time.monotonic()
    body = request(endpoint, answers.request_body(answers.STREAM_MODEL, chunks=CHUNKS))
    try:
        async with asyncio.timeout(60):
            _, reader = await loop.create_connection(
                lambda: StreamReader(body, result), endpoint.host, endpoint.port
            )
            await reader.done
    except TimeoutError:
        result.error = "no answer in time"
    except OSError:
        result.error = "cannot connect"
    seen.note(result, began)
