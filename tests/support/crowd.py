"""Requests that wait for places at a gateway's bench."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from nexus_gateway.access.accounts import Principal
from nexus_mesh.core.errors import MeshError
from prometheus_client import REGISTRY
from support.gateway_bench import GatewayBench, chat
from support.scripted_adapter import ScriptedAdapter
from support.waiting import eventually

__all__ = ["PATIENT", "Crowd", "held_box", "one_by_one", "reason_of", "refused", "started", "waiting"]

PATIENT: dict[str, Any] = {"wait": 60, "stretch": 1000}


def waiting() -> int:
    return int(REGISTRY.get_sample_value("nexus_gateway_queue_length") or 0)


def refused(why: str) -> float:
    return REGISTRY.get_sample_value("nexus_gateway_queue_refusals_total", {"why": why}) or 0.0


async def held_box(bench: GatewayBench, name: str = "box") -> ScriptedAdapter:
    box = await bench.adapter(name)
    box.mode = "held"
    return box


class Crowd:
    """Requests under way, each named by its id."""

    def __init__(self, bench: GatewayBench) -> None:
        self._bench = bench
        self.tasks: dict[str, asyncio.Task[Any]] = {}

    async def send(self, name: str, tenant: str = "a", weight: int = 1, **changes: Any) -> asyncio.Task[Any]:
        """Sends one and lets it run until it waits for somebody else."""
        principal = Principal(f"key of {tenant}", tenant, tenant, weight)
        request = chat(request_id=name, principal=principal, **changes)
        task = asyncio.create_task(self._bench.pipeline.complete(request))
        self.tasks[name] = task
        await asyncio.sleep(0)
        return task

    async def send_all(self, prefix: str, count: int, tenant: str = "a", **changes: Any) -> None:
        for number in range(count):
            await self.send(f"{prefix}{number}", tenant, **changes)

    async def finish(self) -> Counter[str]:
        """What became of all: "ok" or the reason of the error."""
        results = await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        return Counter(each.reason.value if isinstance(each, MeshError) else _fine(each) for each in results)


def _fine(result: Any) -> str:
    """Anything but an answer is a fault of ours."""
    if isinstance(result, BaseException):
        raise result
    return "ok"


async def started(box: ScriptedAdapter, count: int) -> list[str]:
    """The first `count` requests that arrived, in order."""
    await eventually(lambda: len(box.seen) >= count, what=f"{count} requests to arrive")
    return [envelope.request_id for envelope in box.seen[:count]]


async def one_by_one(box: ScriptedAdapter, count: int) -> list[str]:
    """The order in which `count` requests arrive when each is let go after the other."""
    for number in range(1, count):
        await started(box, number)
        box.let_go()
    return await started(box, count)


async def reason_of(task: asyncio.Task[Any]) -> MeshError:
    with pytest.raises(MeshError) as caught:
        await task
    return caught.value
