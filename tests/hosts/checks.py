"""What must be true of two hosts. Each function yields the name and the detail of what holds."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import openai
from hosts.network import Host
from hosts.stage import ANNOUNCED, BOTH, NODE, ONLY_B, SPARING, ZONE, Stage
from support.e2e_cli import nexus
from support.e2e_mesh import HELLO, Sse, read_sse
from support.load import load
from support.waiting import eventually

__all__ = ["CHECKS", "CheckFailed", "ChecksOf"]

ChecksOf = Callable[[Stage], AsyncIterator[tuple[str, str]]]

NOTICED_SECONDS = 12.0
"""From the pulled cable to the client's error."""
BACK_SECONDS = 15.0
"""From the plugged cable to an answer from the other host."""
LOAD_SECONDS = 5.0
CUT_SECONDS = 20.0
"""How long the cable is out: past everything that notices it."""
BEGUN = b'"content":"w1'


class CheckFailed(Exception):
    """Something is not as it must be."""


async def joining(stage: Stage) -> AsyncIterator[tuple[str, str]]:
    """B has joined."""
    identity = stage.machine.said["identity"]
    _must(f"zone/{ZONE}/node/{NODE}/adapter" in identity, f"it joined as {identity}")
    yield "host B joined", f"its models were at A's endpoint after {stage.joined_seconds:.1f} s"


async def routing(stage: Stage) -> AsyncIterator[tuple[str, str]]:
    """A's endpoint routes to B, for holders of a key."""
    async with stage.client() as client:
        answer = await client.chat.completions.with_raw_response.create(
            model=ONLY_B, messages=HELLO, max_tokens=3
        )
    instance = answer.headers["x-nexus-instance"]
    _must(instance.startswith(f"{NODE}/adapter"), f"{ONLY_B} was served by {instance}")
    yield "A routes to B", f"{answer.headers['x-nexus-backend']} on {instance}, zone {_zone(answer)}"
    async with stage.client(key="nx_live_abcdefghijkl_invented") as stranger:
        try:
            await stranger.models.list()
        except openai.AuthenticationError as error:
            yield "a stranger is refused", f"{error.status_code} {error.code}"
        else:
            raise CheckFailed("an invented key was let in")


async def discovery(stage: Stage) -> AsyncIterator[tuple[str, str]]:
    """What announces itself is found, in the zone it is in."""
    rows: list[dict[str, Any]] = []

    async def found_twice() -> bool:
        rows[:] = (await nexus(stage.home / "a", "models", "--json")).json
        return sum(row["id"] == ANNOUNCED for row in rows) == 2

    await eventually(found_twice, 30, "the announced engine found by both hosts")
    own, others = sorted((row for row in rows if row["id"] == ANNOUNCED), key=lambda row: row["remote"])
    _must(own["instance"].startswith(NODE) and not own["remote"], f"on its own host: {own}")
    _must(others["remote"] and not others["instance"].startswith(NODE), f"on the other host: {others}")
    yield "an announced engine is served by its host", f"{own['backend']} in zone {own['zone']}"
    yield "and open from another host", f"{others['backend']} on {others['instance']}"
    for zone in (ZONE, "default"):
        async with stage.client() as client:
            ask = client.chat.completions.with_raw_response.create
            try:
                answer = await ask(model=ANNOUNCED, messages=HELLO, extra_headers={"X-Nexus-Zone": zone})
            except openai.APIStatusError as error:
                _must(zone != ZONE, f"zone {zone} was refused: {error}")
                yield f"zone {zone} is refused", f"{error.status_code}"
            else:
                served = answer.headers["x-nexus-instance"]
                _must(zone == ZONE and served.startswith(NODE), f"zone {zone} was served by {served}")
                yield f"zone {zone} is served", served
    _must("_nexus._tcp" in stage.adapter_log, "B has not heard A's gateway")
    _must(f"-{stage.base_url.rsplit(':', 1)[1][:-3]}" not in _backends(rows), "a gateway became a backend")
    yield "A's gateway is announced, and nobody's backend", _backends(rows)


async def under_load(stage: Stage) -> AsyncIterator[tuple[str, str]]:
    """Load goes through both hosts."""
    async with load(stage.base_url, BOTH, unary=8, streams=4, pause=0.01, key=stage.key) as tally:
        await asyncio.sleep(LOAD_SECONDS)
    _must(not tally.failures, str(tally))
    _must(len(tally.backends) == 2, f"only {dict(tally.backends)} served")
    median = statistics.median(tally.latencies) * 1e3
    yield "load over both hosts", f"{tally}, median {median:.1f} ms, {dict(tally.backends)}"


async def cut(
    stage: Stage, host: Host, what: str, model: str = ONLY_B, unary: int = 8
) -> AsyncIterator[tuple[str, str]]:
    """The cable is pulled in the middle of a stream, with `unary` loops of load beside it, and plugged in again."""
    processes = set(stage.network.b.pids())
    began = asyncio.Event()
    stream = asyncio.create_task(_stream(stage, model, began))
    async with load(stage.base_url, BOTH, unary=unary, streams=0, key=stage.key) as tally:
        await asyncio.wait_for(began.wait(), 30)
        served_before = tally.unary
        pulled = time.monotonic()
        host.unplug()
        try:
            body, ended = await asyncio.wait_for(stream, NOTICED_SECONDS * 4)
            await asyncio.sleep(max(0.0, CUT_SECONDS - (time.monotonic() - pulled)))
        finally:
            host.plug_in()
        back = await _answered_by_b(stage)
    took, seen = ended - pulled, read_sse(body)
    _must(seen.error is not None and not seen.done, f"{what}: the cut stream ended as if it were whole")
    yield f"{what}: the stream ends with an error", f"after {took:.1f} s: {_code(seen)}"
    _must(took <= NOTICED_SECONDS, f"{what}: the client waited {took:.1f} s for it")
    if unary:
        _must(not tally.failures, f"{what}: {tally}")
        detail = f"{tally.unary - served_before} served, slowest {max(tally.latencies):.1f} s, {dict(tally.backends)}"
        yield f"{what}: what is on both hosts is served, 0 failed", detail
    _must(back <= BACK_SECONDS, f"{what}: B answered again only {back:.1f} s after the cable was back")
    _must(processes <= set(stage.network.b.pids()), f"{what}: something on B was restarted")
    yield f"{what}: B is back, nothing restarted", f"{back:.1f} s after the cable"


async def _stream(stage: Stage, model: str, began: asyncio.Event) -> tuple[bytes, float]:
    """(what came of a long stream from B, when it ended by time.monotonic)."""
    asked = {"model": model, "stream": True, "messages": HELLO, "max_tokens": 3000}
    headers = {"Authorization": f"Bearer {stage.key}"}
    body = b""
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{stage.base_url}/chat/completions", json=asked) as answer,
    ):
        async for part in answer.content.iter_any():
            body += part
            if BEGUN in body:
                began.set()
    return body, time.monotonic()


async def _answered_by_b(stage: Stage) -> float:
    """Seconds from now to an answer from B."""
    started = time.monotonic()

    async def answered() -> bool:
        async with stage.client(timeout=10) as client:
            try:
                await client.chat.completions.create(model=ONLY_B, messages=HELLO, max_tokens=1)
            except openai.OpenAIError:
                return False
        return True

    await eventually(answered, BACK_SECONDS * 4, "an answer from B")
    return time.monotonic() - started


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise CheckFailed(otherwise)


def _zone(answer: Any) -> str:
    return str(answer.headers.get("x-nexus-privacy-zone"))


def _backends(rows: list[dict[str, Any]]) -> str:
    return ", ".join(sorted({row["backend"] for row in rows}))


def _code(seen: Sse) -> str:
    assert seen.error is not None
    return json.dumps(seen.error["code"] or seen.error["message"])


def cut_at_a(stage: Stage) -> AsyncIterator[tuple[str, str]]:
    """The cable is pulled at A, in the middle of a stream from B."""
    return cut(stage, stage.network.a, "cut at A")


def cut_at_b(stage: Stage) -> AsyncIterator[tuple[str, str]]:
    """The cable is pulled at B, in the middle of a stream from B: A's own link stays up, and B is silent."""
    return cut(stage, stage.network.b, "cut at B")


def cut_in_silence(stage: Stage) -> AsyncIterator[tuple[str, str]]:
    """The same with nothing on the link but a stream that hardly speaks: no loss of anything sent gives it away."""
    return cut(stage, stage.network.b, "cut at B, in silence", SPARING, unary=0)


CHECKS: tuple[ChecksOf, ...] = (
    joining,
    routing,
    discovery,
    under_load,
    cut_at_a,
    cut_at_b,
    cut_in_silence,
    under_load,
)
