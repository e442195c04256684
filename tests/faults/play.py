"""Plays one fault under traffic, and judges the history of every request."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from faults.backends import seen
from faults.clients import BOUND
from faults.history import History, Operation
from faults.injectors import Injection
from faults.scene import SHARED, Scene, solo
from faults.table import Fault
from support.waiting import eventually

__all__ = ["Verdict", "play"]

MOST_ATTEMPTS = 1.2
"""Times the requests, and a few more for a short run."""
FEW = 4


@dataclass(slots=True)
class Verdict:
    """What is wrong, one line each; `void` when the fault was not there to be judged."""

    fault: Fault
    seed: int
    victim: str
    met: Counter[str] = field(default_factory=Counter)
    """How the requests that met the fault looked, those on the victim's own model first named `solo`."""
    load: str = ""
    wrong: list[str] = field(default_factory=list)
    void: str = ""

    def __str__(self) -> str:
        met = ", ".join(f"{outcome} x{count}" for outcome, count in sorted(self.met.items()))
        state = f"VOID: {self.void}" if self.void else "WRONG" if self.wrong else "held"
        lines = "".join(f"\n    {line}" for line in self.wrong[:10])
        return f"seed {self.seed}, {self.fault.name} at {self.victim} ({self.load}): {state}; {met}{lines}"


@dataclass(slots=True)
class Span:
    """The times of a run: the fault began, was over, and all was well again."""

    began: float
    over: float = 0.0
    well: float = 0.0


async def play(scene: Scene, fault: Fault, seed: int) -> Verdict:
    """The seed picks the victim and the moment."""
    rng = random.Random(f"{seed} {fault.name}")
    victim = rng.choice("ab")
    verdict = Verdict(fault, seed, victim)
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(scene.far_adapter(victim)) if fault.far_adapter else None
        async with scene.traffic(rng) as history:
            try:
                await scene.loaded(history, rng.uniform(0.0, 0.5))
            except TimeoutError as error:
                verdict.void = str(error)
                return verdict
            span = Span(time.monotonic())
            verdict.load = _load(history, span.began)
            marks: list[str] | None = []
            try:
                marks = await fault.inject(Injection(scene, victim, rng, history, wire))
                span.over = time.monotonic()
                await scene.healthy(history, span.over, each=1)
                span.well = time.monotonic()
                await scene.healthy(history, span.well, each=2)
            except TimeoutError as error:
                verdict.wrong.append(str(error))
                span.over = span.over or time.monotonic()
                span.well = span.well or time.monotonic()
        await _judge(scene, verdict, history, span, marks)
    return verdict


def _load(history: History, now: float) -> str:
    seconds = now - history.started
    ended = [one for one in history.operations if one.ended]
    unary = sum(not one.stream for one in ended) / seconds
    return f"{unary:.0f} whole answers/s and {history.running(stream=True)} streams before it"


async def _judge(
    scene: Scene, verdict: Verdict, history: History, span: Span, marks: list[str] | None
) -> None:
    fault, victim = verdict.fault, verdict.victim
    for one in history.operations:
        allowed = _allowed(one, fault, victim, span, marks)
        if one.outcome not in allowed:
            verdict.wrong.append(f"{one}, allowed is {' or '.join(sorted(allowed))}")
    judged = history.of(marks) if marks is not None else _during(history, victim, span)
    for one in judged:
        verdict.met[f"{'solo' if one.model == solo(victim) else one.model} {one.kind} {one.outcome}"] += 1
    own = {one.outcome for one in judged if one.model == solo(victim)}
    if missing := set(fault.must) - own:
        verdict.void = f"nobody saw {' or '.join(sorted(missing))}"
    verdict.wrong += _at_backend(scene, fault, history, span, marks)
    verdict.wrong += [
        f"{one}: Retry-After {one.retry_after}, not {fault.retry_after}"
        for one in judged
        if fault.retry_after and not one.ok and one.retry_after != fault.retry_after
    ]
    if fault.let_go:
        verdict.wrong += [line async for line in _held(scene, victim, marks or [])]


def _allowed(
    one: Operation, fault: Fault, victim: str, span: Span, marks: list[str] | None
) -> frozenset[str]:
    ok = frozenset({"ok"})
    if one.model not in (*SHARED, solo(victim)):
        return ok
    expected = (fault.pair if one.model in SHARED else fault.solo).by(one.stream)
    if marks is not None and one.mark in marks:
        return expected
    if not one.overlaps(span.began, span.well):
        return ok
    return ok | expected if marks is None else fault.others


def _during(history: History, victim: str, span: Span) -> list[Operation]:
    return [
        one
        for one in history.operations
        if one.model in (*SHARED, solo(victim)) and not one.ok and one.overlaps(span.began, span.well)
    ]


def _at_backend(
    scene: Scene, fault: Fault, history: History, span: Span, marks: list[str] | None
) -> Iterator[str]:
    """Nobody is asked twice for the same, nobody else where the first word was final, and all of it in measure."""
    calls = [seen(fake) for fake in scene.fakes.values()]
    for one in history.operations:
        asked = [len(of.get(one.mark, ())) for of in calls]
        final = fault.once and marks is not None and one.mark in marks
        if max(asked) > 1 or (final and sum(asked) != 1):
            yield f"{one}: asked {asked} times"
    attempts = sum(len(made) for of in calls for made in of.values())
    if attempts > MOST_ATTEMPTS * len(history.operations) + FEW:
        yield f"{attempts} attempts for {len(history.operations)} requests"


async def _held(scene: Scene, victim: str, marks: list[str]) -> AsyncIterator[str]:
    """What the victim still works on for nobody."""
    calls = seen(scene.fakes[victim])
    for mark in marks:
        for call in calls.get(mark, ()):
            try:
                await eventually(lambda: not call.running, timeout=BOUND)  # noqa: B023 - awaited at once
            except TimeoutError:
                yield f"{mark}: the backend was never let go"
