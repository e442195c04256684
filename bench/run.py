"""Starts what is to be measured, and measures it scenario by scenario."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from bench import discovery, lifecycle, routing, tenants
from bench.backends import Backend, open_backend
from bench.front import front
from bench.measure import Figures
from bench.nexus import nexus
from bench.overload import overload
from bench.peers import PEERS
from bench.processes import Unusable
from bench.scenarios import LOADS, compare, warm
from bench.subjects import Subject, bare

__all__ = ["SCENARIOS", "run"]

SCENARIOS = (
    *(load.name for load in LOADS),
    *("memory", "growth", "front", "start", "visibility", "policy", "mdns", "overload", "routing", "tenants"),
)
BESIDE_PEERS = {load.name for load in LOADS} | {"memory", "growth"}
GROWTH_REQUESTS, QUICK_GROWTH_REQUESTS = 100_000, 5_000

Found = dict[str, dict[str, Figures]]


async def run(
    folder: Path, *, only: Sequence[str], quick: bool, peers: bool, backend_kind: str
) -> tuple[Found, dict[str, str]]:
    """Scenario -> subject -> figures, and the versions of the subjects. Raises Unusable."""
    found: Found = {}
    versions: dict[str, str] = {}
    if BESIDE_PEERS & set(only):
        versions = await _side_by_side(
            folder, found, only, quick=quick, peers=peers, backend_kind=backend_kind
        )
    if "front" in only:
        print("front", flush=True)
        found["front"] = {"NEXUS": await front(folder, 3 if quick else 11, 100 if quick else 2000)}
    if "start" in only:
        print("start", flush=True)
        found["start"] = {"NEXUS": await lifecycle.start(folder, 1 if quick else 5)}
    if "visibility" in only:
        found["visibility"] = {"NEXUS": await lifecycle.visibility(folder, 1 if quick else 5)}
    if "policy" in only:
        print("policy", flush=True)
        found["policy"] = {"NEXUS": await lifecycle.policy(folder, 5 if quick else 40)}
    if "mdns" in only:
        found["mdns"] = {"NEXUS": await discovery.arrival(folder, 2 if quick else 10)}
    if "overload" in only:
        print("overload", flush=True)
        found["overload"] = {"NEXUS": await overload(folder, 8 if quick else 30)}
    if "routing" in only:
        found["routing"] = {"NEXUS": _routing()}
    if "tenants" in only:
        found["tenants"] = {"NEXUS": tenants.figures(2.0 if quick else 24.0)}
    return found, versions


async def _side_by_side(
    folder: Path, found: Found, only: Sequence[str], *, quick: bool, peers: bool, backend_kind: str
) -> dict[str, str]:
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(open_backend(backend_kind, folder))
        ours = await stack.enter_async_context(nexus(backend, folder))
        subjects = [bare(backend, backend_kind), ours]
        if "memory" in only:
            found["memory"] = {"NEXUS": lifecycle.at_rest(ours)}
        wanted = [load for load in LOADS if load.name in only]
        if wanted and peers:
            subjects += await _peers(stack, backend, folder)
        await warm(subjects)
        for load in wanted:
            print(f"{load.name}: {load.what}", flush=True)
            found[load.name] = await compare(load, subjects, quick=quick)
        if "growth" in only:
            requests = QUICK_GROWTH_REQUESTS if quick else GROWTH_REQUESTS
            print(f"growth: {requests} requests", flush=True)
            found["growth"] = {"NEXUS": await lifecycle.growth(ours, requests)}
        return {subject.name: subject.version for subject in subjects}


async def _peers(stack: AsyncExitStack, backend: Backend, folder: Path) -> list[Subject]:
    """Those that can be had; the others are named, and their columns are missing."""
    running: list[Subject] = []
    for name, start in PEERS.items():
        print(f"starting {name}", flush=True)
        try:
            running.append(await stack.enter_async_context(start(backend, folder)))
        except Unusable as problem:
            sys.stderr.write(f"without {name}: {problem}\n")
    return running


def _routing() -> Figures:
    timed = {name: (p50, p99) for name, (p50, p99, _) in routing.decisions().items()}
    plans = [figures for name, figures in timed.items() if name.startswith("plan")]
    each = {f"{name}, p99_ms": p99 for name, (_, p99) in timed.items()}
    return {"plan_p50_ms": max(p50 for p50, _ in plans), "plan_p99_ms": max(p99 for _, p99 in plans), **each}
