"""Judges the history of every request of a play."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from faults.backends import seen
from faults.clients import BOUND
from faults.history import Operation
from faults.models import CROWD_MODELS, SHARED, side, solo
from faults.scene import Scene
from faults.table import Fault
from faults.verdict import Span, Verdict
from support.waiting import eventually

__all__ = ["judge"]

MOST_ATTEMPTS = 1.2
"""Times the requests, and a few more for a short run."""
FEW = 4


async def judge(
    scene: Scene, verdict: Verdict, operations: Sequence[Operation], span: Span, marks: list[str] | None
) -> None:
    """`operations`: all that have ended since the last play was judged."""
    fault, victim = verdict.fault, verdict.victim
    for one in operations:
        allowed = _allowed(one, fault, victim, span, marks)
        if one.outcome not in allowed:
            verdict.wrong.append(f"{one}, allowed is {' or '.join(sorted(allowed))}")
    judged = (
        _during(operations, fault, victim, span)
        if marks is None
        else [one for one in operations if one.mark in marks]
    )
    for one in judged:
        name = "solo" if one.model == solo(victim) else "crowd" if one.model in CROWD_MODELS else one.model
        verdict.met[f"{name} {one.kind} {one.outcome}"] += 1
    own = {one.outcome for one in judged if one.model == solo(victim)}
    if missing := set(fault.must) - own:
        verdict.void = f"nobody saw {' or '.join(sorted(missing))}"
    verdict.wrong += _at_backend(scene, fault, operations, marks)
    verdict.wrong += [
        f"{one}: Retry-After {one.retry_after}, not {fault.retry_after}"
        for one in judged
        if fault.retry_after and not one.ok and one.retry_after != fault.retry_after
    ]
    if fault.let_go:
        verdict.wrong += [line async for line in _held(scene, victim, marks or [])]


def _touched(model: str, fault: Fault, victim: str) -> bool:
    """Whether requests for the model may meet the fault."""
    if model in CROWD_MODELS:
        return fault.whole_adapter and side(model) == victim
    return model in (*SHARED, solo(victim))


def _allowed(
    one: Operation, fault: Fault, victim: str, span: Span, marks: list[str] | None
) -> frozenset[str]:
    ok = frozenset({"ok"})
    if not _touched(one.model, fault, victim):
        return ok
    expected = (fault.pair if one.model in SHARED else fault.solo).by(one.stream)
    if marks is not None and one.mark in marks:
        return expected
    if not one.overlaps(span.began, span.well):
        return ok
    return ok | expected if marks is None else fault.others


def _during(operations: Sequence[Operation], fault: Fault, victim: str, span: Span) -> list[Operation]:
    return [
        one
        for one in operations
        if _touched(one.model, fault, victim) and not one.ok and one.overlaps(span.began, span.well)
    ]


def _at_backend(
    scene: Scene, fault: Fault, operations: Sequence[Operation], marks: list[str] | None
) -> Iterator[str]:
    """Nobody is asked twice for the same, nobody else where the first word was final, and all of it in measure."""
    calls = [seen(fake) for fake in (*scene.fakes.values(), scene.crowd)]
    attempts, requests = 0, 0
    for one in operations:
        asked = [len(of.get(one.mark, ())) for of in calls]
        final = fault.once and marks is not None and one.mark in marks
        if max(asked) > fault.most or (final and sum(asked) != 1):
            yield f"{one}: asked {asked} times"
        if one.model not in CROWD_MODELS:  # of which there is nobody else to ask
            attempts, requests = attempts + sum(asked), requests + 1
    if attempts > MOST_ATTEMPTS * requests + FEW:
        yield f"{attempts} attempts for {requests} requests"


async def _held(scene: Scene, victim: str, marks: list[str]) -> AsyncIterator[str]:
    """What the victim still works on for nobody."""
    calls = seen(scene.fakes[victim])
    for mark in marks:
        for call in calls.get(mark, ()):
            try:
                await eventually(lambda: not call.running, timeout=BOUND)  # noqa: B023 - awaited at once
            except TimeoutError:
                yield f"{mark}: the backend was never let go"
