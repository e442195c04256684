"""The scenarios that put load on every subject, one after the other, round after round."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from bench.measure import Figures, medians, streams, whole_answers
from bench.subjects import Subject

__all__ = ["LOADS", "Load", "compare", "warm"]

WARM_REQUESTS_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Load:
    """One scenario. `run` and `quick` measure a subject once; it is repeated `rounds` times."""

    name: str
    what: str
    run: Callable[[Subject], Awaitable[Figures]]
    quick: Callable[[Subject], Awaitable[Figures]]
    rounds: int


def _chat(connections: int, rounds: int) -> Load:
    run = partial(whole_answers, connections=connections)
    what = f"whole answers over {connections} connection{'s' if connections > 1 else ''}"
    return Load(f"chat-{connections}", what, partial(run, seconds=3), partial(run, seconds=1.5), rounds)


def _streams(count: int, chunks: int, quick_chunks: int, rounds: int) -> Load:
    run = partial(streams, count=count, arrive=1.0, deadline=30)
    what = f"{count} streams at 50 chunks/s each, arriving over a second"
    return Load(
        f"streams-{count}", what, partial(run, chunks=chunks), partial(run, chunks=quick_chunks), rounds
    )


LOADS = (
    _chat(1, rounds=5),
    _chat(10, rounds=3),
    _chat(64, rounds=3),
    _streams(50, chunks=100, quick_chunks=50, rounds=3),
    _streams(200, chunks=250, quick_chunks=100, rounds=3),
    _streams(1000, chunks=100, quick_chunks=50, rounds=2),
)


async def compare(load: Load, subjects: Sequence[Subject], *, quick: bool) -> dict[str, Figures]:
    """Subject -> medians of its runs. Rounds are interleaved, so that a noisy minute falls on all alike."""
    runs: dict[str, list[Figures]] = {subject.name: [] for subject in subjects}
    rounds = 1 if quick else load.rounds
    for number in range(rounds):
        for subject in subjects:
            print(f"  {load.name}, round {number + 1} of {rounds}: {subject.name}", flush=True)
            runs[subject.name].append(await (load.quick if quick else load.run)(subject))
    return {name: medians(figures) for name, figures in runs.items()}


async def warm(subjects: Sequence[Subject]) -> None:
    """First requests pay for imports and connections; nobody is measured on them."""
    for subject in subjects:
        print(f"  warming {subject.name} {subject.version}", flush=True)
        await whole_answers(subject, connections=10, seconds=WARM_REQUESTS_SECONDS)
        await streams(subject, count=5, arrive=0.1, chunks=10, deadline=10)
