"""Failures in the middle of streams, by the hundred: made by backends, by links and by processes."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

from faults.backends import healthy, seen
from faults.clients import BOUND, Clients
from faults.history import History, Operation
from faults.models import ADAPTERS, CROWD_MODELS, side
from faults.scene import Scene
from support import fake_openai_modes as modes
from support.fake_openai_garbage import garbage
from support.fake_openai_script import Death, Mode
from support.openai_wire import error_body
from support.tcp_proxy import TcpProxy
from support.waiting import eventually

__all__ = ["Tally", "fail_in_mid_stream"]

MOST_TOKENS = 50
AT_ONCE = 25
"""Streams that one failure of a process or a link breaks."""
FAR = "b"
"""The side whose processes and links fail."""
GOOD_AFTER = 2
"""Answers after each failure: they show that all is well, and keep the backend in service."""
CLIENTS = ("sdk", "sdk", "sync", "sync", "raw")
DIED = error_body("died", "server_error")

Draw = Callable[[random.Random, int], Mode]
"""Makes the fault that comes after so many tokens."""


def _death(how: Death, *, in_event: bool = False) -> Draw:
    return lambda rng, after: modes.die_after(
        after, how, at_byte=rng.randint(1, 90) if in_event else 0, pause=rng.choice((0.0, 0.05))
    )


def _garbage(kind: str) -> Draw:
    return lambda _, after: garbage(kind, after)


def _error(body: object, *, done: bool) -> Draw:
    return lambda rng, after: modes.stream_error(body, after, done, pause=rng.choice((0.0, 0.05)))


BY_BACKENDS: dict[str, Draw] = {
    "closed": _death("close"),
    "reset": _death("reset"),
    "ended without a finish": _death("end"),
    "closed within an event": _death("close", in_event=True),
    "reset within an event": _death("reset", in_event=True),
    "ended within an event": _death("end", in_event=True),
    "stalled": lambda _, after: modes.stall_after(after),
    "an error event": _error(DIED, done=False),
    "an error event and [DONE]": _error(DIED, done=True),
    "a text as error": _error({"error": "died"}, done=False),
    "a flat error object": _error({"object": "error", "message": "died", "code": 500}, done=True),
    **{
        f"garbage: {kind}": _garbage(kind)
        for kind in (
            "html", "broken_json", "half_event", "invalid_utf8", "no_finish_reason", "unknown_finish_reason",
            "two_finish_reasons", "array_event", "choices_null", "endless_line", "empty_body",
        )
    },
}  # fmt: skip


@dataclass(slots=True)
class Tally:
    """What became of all of them. `wrong` has one line for each that was not told as a failure."""

    kinds: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    clients: Counter[str] = field(default_factory=Counter)
    normal: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def injected(self) -> int:
        return self.kinds.total()

    def note(self, kind: str, operation: Operation, *, cut: bool = False) -> None:
        """`cut`: who could have told the client is gone itself, so that a broken connection is all it can see."""
        self.kinds[kind] += 1
        self.clients[operation.client] += 1
        self.codes[operation.outcome.split(" ", 1)[0] if cut else operation.outcome] += 1
        self.normal += operation.normal
        if operation.ok or (operation.dishonest and not (cut and operation.outcome.startswith("cut"))):
            self.wrong.append(f"{kind}: {operation}")

    def __str__(self) -> str:
        lists = (
            f"{name}: {', '.join(f'{key} x{count}' for key, count in counter.most_common())}"
            for name, counter in (
                ("by kind", self.kinds),
                ("by client", self.clients),
                ("told as", self.codes),
            )
        )
        return "\n  ".join(
            (f"{self.normal} of {self.injected} looked normal, {len(self.wrong)} wrong", *lists)
        )


async def fail_in_mid_stream(scene: Scene, runs: int, seed: int) -> Tally:
    """Six in seven by backends, one at a time for each of twenty workers; the rest by whatever is between."""
    rng, tally = random.Random(seed), Tally()
    await scene.quiet()
    scene.crowd.mode = healthy()
    rounds = _rounds(rng, runs)
    try:
        await _by_backends(scene, tally, rng, runs - sum(size for _, size in rounds))
        for kind, size in rounds:
            await _by_the_mesh(scene, tally, rng, kind, size)
    finally:
        scene.crowd.mode = healthy()
        scene.crowd.model_modes.clear()
    return tally


@dataclass(frozen=True)
class Planned:
    """One failure: of which kind, after how many tokens, seen by which client."""

    kind: str
    after: int
    client: str
    rng: random.Random


def _plan(rng: random.Random, runs: int) -> Iterator[Planned]:
    """Every kind as often as any other, and every number of tokens."""
    kinds, lengths = [*BY_BACKENDS], [*range(MOST_TOKENS + 1)]
    rng.shuffle(kinds)
    rng.shuffle(lengths)
    drawn = zip(itertools.cycle(kinds), itertools.cycle(lengths), range(runs), strict=False)
    for kind, after, _ in drawn:
        yield Planned(kind, after, rng.choice(CLIENTS), random.Random(rng.random()))


async def _by_backends(scene: Scene, tally: Tally, rng: random.Random, runs: int) -> None:
    scene.crowd.requests.clear()
    plan = _plan(rng, runs)
    async with Clients(scene.mesh.base_url) as clients, asyncio.TaskGroup() as group:
        for model in CROWD_MODELS:
            group.create_task(_work(scene, tally, clients, model, plan))


async def _work(scene: Scene, tally: Tally, clients: Clients, model: str, plan: Iterator[Planned]) -> None:
    """One failure after the other on a backend of its own, with good answers after each."""
    history = History()
    for planned in plan:
        scene.crowd.model_modes[model] = BY_BACKENDS[planned.kind](planned.rng, planned.after)
        operation = history.begin(model, stream=True, client=planned.client)
        await clients.ask(operation)
        tally.note(planned.kind, operation)
        scene.crowd.model_modes[model] = healthy()
        for _ in range(GOOD_AFTER):
            after = history.begin(model, stream=False, client="raw")
            await clients.ask(after)
            if not after.ok:
                tally.wrong.append(f"after {planned.kind}: {after}")


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


def _rounds(rng: random.Random, runs: int) -> list[tuple[str, int]]:
    """Which kinds, with how many streams each: all of them where a seventh of the runs is enough for that."""
    share = runs // 6
    if share >= len(BY_THE_MESH) * SMALL_ROUND:
        return [(kind, min(AT_ONCE, share // len(BY_THE_MESH))) for kind in BY_THE_MESH]
    return [(kind, SMALL_ROUND) for kind in rng.sample([*BY_THE_MESH][:5], share // SMALL_ROUND)]


async def _by_the_mesh(scene: Scene, tally: Tally, rng: random.Random, kind: str, size: int) -> None:
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
