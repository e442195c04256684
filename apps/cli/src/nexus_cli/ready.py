"""Waits until a mesh serves, and ends the waiting as soon as it is known that it never will."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from typing import Any

import aiohttp
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_inference_adapters.config import MODEL_FILE
from nexus_inference_adapters.vocabulary import PAINTER, READER, VOICE
from nexus_mesh.core import MeshError

from nexus_cli import welcome
from nexus_cli.bootstrap import START_SECONDS
from nexus_cli.instances import listed
from nexus_cli.layout import Layout
from nexus_cli.output import Failure
from nexus_cli.plan import Plan
from nexus_cli.progress import Progress
from nexus_cli.supervisor import Supervisor, broken_unit

__all__ = ["until_ready"]

POLL = 0.1
POLLS_PER_LOOK = 10
"""A look at the registry takes a connection of its own, and a mesh that starts well needs none."""


async def until_ready(plan: Plan, supervisor: Supervisor, progress: Progress) -> list[dict[str, Any]]:
    """The models, once the gateway can route to one, and to the file that was asked for. Raises Failure."""
    try:
        async with (
            asyncio.timeout_at(supervisor.deadline),
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2), trust_env=False) as session,
        ):
            for poll in itertools.count(1):
                if unit := supervisor.broken():
                    raise broken_unit(unit)
                if await _is_ready(session, plan, progress):
                    return await _chats_first(plan, await welcome.models(session, plan.mesh.http))
                if poll % POLLS_PER_LOOK == 0:
                    await _see_that_a_model_can_come(plan, supervisor)
                await asyncio.sleep(POLL)
    except TimeoutError:
        pass
    lines = "\n".join(f"  {one}" for one in progress.missing or ["the gateway does not answer yet"])
    raise Failure(
        f"The mesh was not ready after {START_SECONDS:.0f} s. What is missing:",
        f"{lines}\nTry `nexus doctor`.",
    )


async def _chats_first(plan: Plan, models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The line to copy asks the first: one that only embeds would refuse."""
    try:
        adapters = await listed(plan.layout, "adapter")
    except MeshError:
        return models  # a hint is no reason to be late
    chatting = {
        model.id
        for instance in adapters
        for backend in instance.status.backends
        for model in backend.models
        if model_pb2.OPERATION_CHAT in model.operations
    }
    return sorted(models, key=lambda row: row["id"] not in chatting)


async def _is_ready(session: aiohttp.ClientSession, plan: Plan, progress: Progress) -> bool:
    """What the gateway says; false while it says nothing."""
    try:
        async with session.get(f"{plan.mesh.http}/readyz") as response:
            told, status = await response.json(), response.status
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return False
    progress.waiting([str(one) for one in told.get("missing", ())])
    return status == 200 and await _answers(session, plan) and await _has_what_was_asked_for(plan)


async def _answers(session: aiohttp.ClientSession, plan: Plan) -> bool:
    """Whether there is more than what is in the box beside it, which comes first; true where it takes a key to see."""
    listed = {row["id"] for row in await welcome.models(session, plan.mesh.http)}
    return not listed or bool(listed - {VOICE, PAINTER, READER})


async def _has_what_was_asked_for(plan: Plan) -> bool:
    """Whether the file given with --model is served, if one was given. Raises Failure when it never will be."""
    if plan.options.model is None:
        return True
    for adapter in await _adapters(plan.layout):
        for backend in adapter.status.backends:
            if backend.name == MODEL_FILE and backend.state != instance_pb2.STATE_STARTING:
                if _never_serves(backend):
                    raise _unservable(plan.layout, [backend])
                return True
    return False


async def _see_that_a_model_can_come(plan: Plan, supervisor: Supervisor) -> None:
    """Raises Failure when the only backends are model files, and llama.cpp can serve none of them.

    An engine of its own may still be started by somebody, and an adapter that is lost may come back; a file does
    not mend itself.
    """
    adapters = await _adapters(plan.layout)
    backends = [
        each
        for adapter in adapters
        for each in adapter.status.backends
        if each.kind not in ("espeak", "painter", "rapidocr")
    ]
    all_here = len(adapters) >= len(supervisor.adapters) and all(adapter.connected for adapter in adapters)
    if all_here and backends and all(map(_never_serves, backends)):
        raise _unservable(plan.layout, backends)


async def _adapters(layout: Layout) -> list[instance_pb2.Instance]:
    """None while the registry is not there yet."""
    try:
        return await listed(layout, "adapter")
    except (MeshError, Failure):
        return []


def _never_serves(backend: instance_pb2.Backend) -> bool:
    return backend.kind == "embedded" and backend.state == instance_pb2.STATE_UNHEALTHY


def _unservable(layout: Layout, backends: Iterable[instance_pb2.Backend]) -> Failure:
    return Failure(
        " ".join(dict.fromkeys(backend.state_reason for backend in backends)),
        "It may need a newer llama.cpp, or more memory than is free. Give another GGUF model with --model FILE.\n"
        f"The adapter's log: {layout.log('adapter')}",
    )
