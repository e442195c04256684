"""Failures in the middle of streams that are made by whatever is between the backends and the clients."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

from faults.backends import healthy, seen
from faults.clients import BOUND, Clients
from faults.history import History, Operation
from faults.models import ADAPTERS, CROWD_MODELS, side
from faults.scene import Scene
from faults.tally import CLIENTS, MOST_TOKENS, Tally
from support import fake_openai_modes as modes
from support.tcp_proxy import TcpProxy
from support.waiting import eventually

__all__ = ["fail_by_the_mesh", "rounds_of"]

AT_ONCE = 25
"""Streams that one failure of a process or a link breaks."""
FAR = "b"
"""The side whose processes and links fail."""


async def _adapter_killed(scene: Scene, _: TcpProxy | None) -> None:
    scene.mesh.kill(ADAPTERS[FAR])


async def _adapter_frozen(scene: Scene, _: TcpProxy | None) -> None:
    scene.mesh.kill(ADAPTERS[FAR], by=signal.SIGSTOP)


async def _gateway_killed(scene: Scene, _: TcpProxy | None) -> None:
    scene.mesh.kill("gateway")


async def _backend_cut(scene: Scene, _: TcpProxy | None) -> None:
    scene.crowd_links[FAR].cut()


async def _backend_dead(scene: Scene, _: TcpProxy | None) -> None:
    scene.crowd_links[FAR].die()


async def _adapter_cut(_: Scene, wire: TcpProxy | None) -> None:
    assert wire is not None
    wire.cut()


async def _adapter_dead(_: Scene, wire: TcpProxy | None) -> None:
    assert wire is not None
    wire.die()


BY_THE_MESH: dict[str, Callable[[Scene, TcpProxy | None], Awaitable[None]]] = {
    "adapter killed": _adapter_killed,
    "adapter frozen": _adapter_frozen,
    "gateway killed": _gateway_killed,
    "link to a backend cut": _backend_cut,
    "link to a backend half-open": _backend_dead,
    "link to an adapter cut": _adapter_cut,
    "link to an adapter half-open": _adapter_dead,
}
SMALL_ROUND = 5


def rounds_of(rng: random.Random, runs: int) -> list[tuple[str, int]]:
    """Which kinds, with how many streams each: all of them where a seventh of the runs is enough for that."""
    share = runs // 6
    if share >= len(BY_THE_MESH) * SMALL_ROUND:
        return [(kind, min(AT_ONCE, share // len(BY_THE_MESH))) for kind in BY_THE_MESH]
    return [(kind, SMALL_ROUND) for kind in rng.sample([*BY_THE_MESH][:5], share // SMALL_ROUND)]


async def fail_by_the_mesh(scene: Scene, tally: Tally, rng: random.Random, kind: str, size: int) -> None:
    """Streams of one side are broken all at once, each after as many tokens as it had by then."""
    moved = scene.far_adapter(FAR) if "an adapter" in kind else nullcontext()
    async with moved as wire, Clients(scene.mesh.base_url) as clients:
        history = History()
        scene.crowd.requests.clear()
        scene.crowd.model_modes.clear()
        scene.crowd.mode = modes.ok(1000, interval=0.04)
        models = [model for model in CROWD_MODELS if side(model) == FAR]
        streams = [
            history.begin(model, stream=True, client=client)
            for model, client, _ in zip(
                itertools.cycle(models), itertools.cycle(CLIENTS), range(size), strict=False
            )
        ]
        async with asyncio.TaskGroup() as group:
            for stream in streams:
                group.create_task(clients.ask(stream))
            await _all_begun(scene, streams, rng.randint(1, MOST_TOKENS))
            await BY_THE_MESH[kind](scene, wire)
            scene.crowd.mode = healthy()
        for stream in streams:
            tally.note(kind, stream, cut=kind == "gateway killed")
        _mend(scene, kind, wire)
    await scene.ready()


async def _all_begun(scene: Scene, streams: list[Operation], tokens: int) -> None:
    """All have begun and none has ended, and one of them is `tokens` tokens far."""

    def begun() -> bool:
        early = [str(one) for one in streams if one.ended is not None]
        assert not early, f"ended before their fault: {early}"
        calls = seen(scene.crowd)
        sent = [calls[one.mark][0].tokens_sent if one.mark in calls else 0 for one in streams]
        return min(sent) > 0 and max(sent) >= tokens

    await eventually(begun, timeout=BOUND, what=f"{tokens} tokens of a stream")


def _mend(scene: Scene, kind: str, wire: TcpProxy | None) -> None:
    for link in (*scene.crowd_links.values(), *([wire] if wire else [])):
        link.join()
    if kind == "adapter frozen":
        scene.mesh.kill(ADAPTERS[FAR], by=signal.SIGCONT)
    scene.mesh.revive(ADAPTERS[FAR], "gateway")
