"""Failures in the middle of streams, by the hundred: most of them made by backends."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from faults.backends import healthy
from faults.clients import Clients
from faults.history import History
from faults.mid_stream_mesh import fail_by_the_mesh, rounds_of
from faults.models import CROWD_MODELS
from faults.scene import Scene
from faults.tally import CLIENTS, MOST_TOKENS, Tally
from support import fake_openai_modes as modes
from support.fake_openai_garbage import garbage
from support.fake_openai_script import Death, Mode
from support.openai_wire import error_body

__all__ = ["fail_in_mid_stream"]

GOOD_AFTER = 2
"""Answers after each failure: they show that all is well, and keep the backend in service."""
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
    # C3: a second finish and `choices: null` are oddities of whole answers and no failures; tests/integration/adapters.
    **{
        f"garbage: {kind}": _garbage(kind)
        for kind in (
            "html", "broken_json", "half_event", "invalid_utf8", "no_finish_reason", "unknown_finish_reason",
            "array_event", "endless_line", "empty_body",
        )
    },
}  # fmt: skip


async def fail_in_mid_stream(scene: Scene, runs: int, seed: int) -> Tally:
    """Six in seven by backends, one at a time for each of twenty workers; the rest by whatever is between."""
    rng, tally = random.Random(seed), Tally()
    await scene.quiet()
    scene.crowd.mode = healthy()
    rounds = rounds_of(rng, runs)
    try:
        await _by_backends(scene, tally, rng, runs - sum(size for _, size in rounds))
        for kind, size in rounds:
            await fail_by_the_mesh(scene, tally, rng, kind, size)
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
