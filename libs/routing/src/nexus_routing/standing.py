"""Why a candidate stands where it stands, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from nexus_routing.policy import FREE
from nexus_routing.stages import Candidate
from nexus_routing.types import Conditions

__all__ = ["standings"]


RATES = {
    "images": "picture",
    "characters": "million characters spoken",
    "input_minutes": "minute listened to",
    "output_minutes": "minute made",
}
"""What the rates of a Price beside those of tokens are for."""


def standings(ranked: Sequence[Candidate], conditions: Conditions) -> Iterator[tuple[Candidate, str]]:
    """Each with its reason. `ranked` are all there are, best first."""
    before, after = ranked, ranked
    if any(each.price != FREE for each in ranked):
        before, after = _cheapest(ranked), _cheapest(reversed(ranked))[::-1]
    for candidate, cheaper, later in zip(ranked, before, after, strict=True):
        words = [*_own(candidate, conditions), *_beside(candidate, cheaper, later, conditions)]
        yield candidate, ", ".join(words)


def _own(candidate: Candidate, conditions: Conditions) -> Iterator[str]:
    load, own, price = candidate.target.load, conditions.active.get(candidate.id, 0), candidate.price
    places = str(load.capacity) if load.capacity else "an unknown number of"
    yield f"priority {candidate.target.priority}"
    if price.input or price.output:
        yield f"${price.input:.15g} and ${price.output:.15g} per million tokens of prompt and answer"
    yield from (
        f"${getattr(price, rate):.15g} per {what}" for rate, what in RATES.items() if getattr(price, rate)
    )
    yield f"{load.active + load.queued + own} running or waiting on {places} places"
    if failed := conditions.ejected.get((candidate.id, candidate.model.id)):
        yield f"{failed}, and asked because nobody else is left"
    if not candidate.model.loaded:
        yield "model not in memory"
    if extra := conditions.slow.get(candidate.model.id, {}).get(candidate.id):
        yield f"{1 / (1 - extra):.1f} times as slow as the quickest"


def _beside(
    candidate: Candidate, before: Candidate, after: Candidate, conditions: Conditions
) -> Iterator[str]:
    """How its price has moved it among those of its model and priority."""
    if candidate.price == FREE:
        return
    if before.price.total < candidate.price.total:
        yield f"dearer than {before.target.backend}"
    elif after.price.total < candidate.price.total and after.is_busy(conditions):
        yield f"dearer than {after.target.backend}, which has no free place"


def _cheapest(ranked: Iterable[Candidate]) -> list[Candidate]:
    """Of each candidate's model and priority the cheapest up to here, itself included."""
    best: dict[tuple[str, int], Candidate] = {}
    found: list[Candidate] = []
    for candidate in ranked:
        key = candidate.model.id, candidate.target.priority
        if key not in best or candidate.price.total < best[key].price.total:
            best[key] = candidate
        found.append(best[key])
    return found
