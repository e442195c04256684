"""Scenarios of NEXUS alone: memory, starting, and how soon a change in the mesh shows at the gateway."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from nexus.registry.v1 import instance_pb2, registry_pb2
from nexus.router.v1 import policy_pb2
from nexus_cli import policy_calls
from nexus_cli.instances import LIST
from nexus_cli.operator import control
from nexus_mesh.rpc.client import Peer

from bench import answers
from bench.backends import engine
from bench.client import Endpoint, closed_loop, request
from bench.measure import Figures
from bench.nexus import backend_table, up
from bench.processes import Unusable, free_port, resident
from bench.subjects import Subject

__all__ = ["at_gateway", "at_rest", "growth", "policy", "start", "visibility"]

MIB = 1024 * 1024
GROWTH_CONNECTIONS = 32
POLL = 0.005
CHANGE_SECONDS = 45.0
BOX_MODEL = "smollm2:135m"


def at_rest(subject: Subject) -> Figures:
    """Memory of each process before any load."""
    return {f"{name}_mib": resident(pids) / MIB for name, pids in {**subject.pids, **subject.others}.items()}


async def growth(subject: Subject, requests: int) -> Figures:
    """What each process on the path grew by over `requests`; a tenth more go before, to fill pools and caches."""
    await _serve(subject, requests // 10)
    before = {name: resident(pids) for name, pids in subject.pids.items()}
    failed = await _serve(subject, requests)
    grown = {
        f"{name}_grown_mib": (resident(pids) - before[name]) / MIB for name, pids in subject.pids.items()
    }
    return {"requests": float(requests), "errors": float(failed), **grown}


async def _serve(subject: Subject, requests: int) -> int:
    body = answers.request_body(answers.CHAT_MODEL)
    calls = await closed_loop(subject.chat, body, connections=GROWTH_CONNECTIONS, seconds=600, limit=requests)
    return requests - len(calls.latencies)


async def start(folder: Path, times: int) -> Figures:
    """Seconds from `nexus up` to the first token of the model in the box: first start, then the median of others."""
    taken = [await _first_token(folder / "start") for _ in range(times + 1)]
    return {"cold_s": taken[0], "warm_s": statistics.median(taken[1:]), "warm_max_s": max(taken[1:])}


async def _first_token(home: Path) -> float:
    began = time.monotonic()
    async with up(home) as mesh:
        asked = request(mesh.endpoint(), answers.request_body(BOX_MODEL, chunks=1))
        async with asyncio.timeout(60):
            reader, writer = await asyncio.open_connection(mesh.host, mesh.port)
            writer.write(asked)
            answer = await reader.readuntil(b'"content":"')
            writer.close()
    if not answer.startswith(b"HTTP/1.1 200"):
        raise Unusable(f"The first request after a start was not answered: {answer[:200]!r}")
    return time.monotonic() - began


async def visibility(folder: Path, times: int) -> Figures:
    """Milliseconds from the registry's knowing of a new and of a dead backend to the gateway's showing it.

    Each comes and goes once: one that keeps doing so is held back by the router, on purpose and for longer each time.
    """
    appeared, vanished, home = [], [], folder / "visibility"
    late = {f"late-{number}": free_port() for number in range(times)}
    async with engine(folder / "steady.log", "steady") as (steady, _):
        tables = backend_table("steady", steady)
        tables += "".join(backend_table(name, port) for name, port in late.items())
        async with up(home, tables) as mesh, control(mesh.layout, "registry") as registry:
            endpoint = Endpoint(mesh.host, mesh.port, "/v1/models")
            for name, port in late.items():
                print(f"  visibility, {name} of {times}", flush=True)
                async with engine(folder / "late.log", name, port=port):
                    appeared.append(await _lag(registry, endpoint, name, wanted=True))
                vanished.append(await _lag(registry, endpoint, name, wanted=False))
    return {
        "new_ms": statistics.median(appeared),
        "new_max_ms": max(appeared),
        "dead_ms": statistics.median(vanished),
        "dead_max_ms": max(vanished),
    }


async def policy(folder: Path, times: int) -> Figures:
    """Milliseconds until the gateway shows a policy: `push` since it was sent, `effect` since the router's word."""
    whole, effect = [], []
    async with (
        engine(folder / "policy.log", "steady") as (port, _),
        up(folder / "policy", backend_table("steady", port)) as mesh,
        control(mesh.layout, "router") as router,
    ):
        endpoint = Endpoint(mesh.host, mesh.port, "/v1/models")
        await _moment(lambda: _gateway_shows(endpoint, "steady"), wanted=True)
        for number in range(times):
            sent, told, shown = await _put_in_force(router, endpoint, f"alias-{number}", "steady")
            whole.append((shown - sent) * 1e3)
            effect.append((shown - told) * 1e3)
    return {
        "push_ms": statistics.median(whole),
        "push_max_ms": max(whole),
        "effect_ms": statistics.median(effect),
    }


async def _put_in_force(
    router: Peer, endpoint: Endpoint, alias: str, model: str
) -> tuple[float, float, float]:
    """When a policy with this alias was sent, when the router had it in force, and when the gateway showed it."""
    current = (await policy_calls.get(router)).policy
    text = json.dumps({"aliases": {alias: model}})
    request = policy_pb2.SetPolicyRequest(json=text, etag=current.etag)
    sent = time.monotonic()

    async def put() -> float:
        await policy_calls.change(router, request)
        return time.monotonic()

    told, shown = await asyncio.gather(put(), _moment(lambda: _gateway_shows(endpoint, alias), wanted=True))
    return sent, told, shown


async def at_gateway(endpoint: Endpoint, name: str, *, wanted: bool) -> float:
    """When (time.monotonic) the gateway lists a model, or does no longer. Raises Unusable when it takes too long."""
    return await _moment(lambda: _gateway_shows(endpoint, name), wanted=wanted)


async def _lag(registry: Peer, endpoint: Endpoint, name: str, *, wanted: bool) -> float:
    """Milliseconds the gateway comes after the registry; below zero when polling saw the gateway first."""
    known, shown = await asyncio.gather(
        _moment(lambda: _registry_knows(registry, name), wanted=wanted),
        at_gateway(endpoint, name, wanted=wanted),
    )
    return (shown - known) * 1e3


async def _moment(look: Callable[[], Awaitable[bool]], *, wanted: bool) -> float:
    try:
        async with asyncio.timeout(CHANGE_SECONDS):
            while await look() is not wanted:  # noqa: ASYNC110 - the bench is what polls
                await asyncio.sleep(POLL)
    except TimeoutError:
        raise Unusable(f"A changed backend did not show within {CHANGE_SECONDS:.0f} s.") from None
    return time.monotonic()


async def _registry_knows(registry: Peer, name: str) -> bool:
    page = await registry.unary(LIST, registry_pb2.ListRequest(role="adapter"), timeout=5.0)
    return any(
        backend.name == name and backend.state == instance_pb2.STATE_ACTIVE
        for instance in page.instances
        for backend in instance.status.backends
    )


async def _gateway_shows(endpoint: Endpoint, name: str) -> bool:
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    try:
        writer.write(request(endpoint, None, "GET"))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        return f'"{name}"'.encode() in await reader.readexactly(length)
    finally:
        writer.close()
