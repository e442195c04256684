"""Candidates of equal priority and price, ready to be ranked: what the table decides is laid out in columns once."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterable, Sequence
from functools import cached_property
from zlib import crc32

from nexus_routing.compiled import Compiled
from nexus_routing.stages import Ask
from nexus_routing.types import Candidate, Conditions

__all__ = ["Group"]

WINDOW = 64
FULL = 1.0
AT_EASE = 0.5
"""Load up to which the same prompt's head goes to the same target."""
POINTS = 16
"""Places of each candidate on the ring of prompt heads."""
FEW = 8
"""Up to so many, looking for the smallest again and again is quicker than sorting."""


class Group:
    """Of one model; immutable. The least loaded come first, those equal in load by rotation.

    Of more than 64, those with a free place in a window that moves on with every turn come before all others. It
    bounds the work of a decision, and gateways that know the same do not all run to the same target.
    """

    def __init__(self, candidates: Iterable[Candidate], stages: Compiled) -> None:
        self.candidates = tuple(candidates)
        self._stages = stages
        self._model = self.candidates[0].model.id
        self._ids = tuple(each.id for each in self.candidates)
        self._taken = tuple(each.taken for each in self.candidates)
        self._places = tuple(each.places for each in self.candidates)
        self._by_request = [stage.among(self.candidates) for stage in stages.request]
        self._by_now = [stage.among(self.candidates) for stage in stages.now]

    def fitting(self, ask: Ask) -> Group | None:
        """Those that may serve such a request at all; None when there are none."""
        out = {place for refused in self._by_request for place in refused(ask)}
        if not out:
            return self
        kept = [each for place, each in enumerate(self.candidates) if place not in out]
        return Group(kept, self._stages) if kept else None

    def rank(self, ask: Ask, limit: int) -> list[Candidate]:
        """The best `limit` of those that are in service."""
        conditions, affinity = ask.conditions, ask.requirements.affinity
        out, size = {place for refused in self._by_now for place in refused(ask)}, len(self._ids)
        start = _start(conditions.turn, size, out)
        window = _turns(start, min(WINDOW, size), size)
        places = [place for score, place in self._least(window, conditions, out, limit) if score < FULL]
        if limit > len(places):
            # Whoever was picked above may come again, so that many more are asked for.
            every = self._least(_turns(start, size, size), conditions, out, limit + len(places))
            picked = set(places)
            places += [place for _, place in every if place not in picked]
        if affinity and (home := self._home(affinity, conditions, out)) is not None:
            places = [home, *(place for place in places if place != home)]
        return [self.candidates[place] for place in places[:limit]]

    def _home(self, affinity: int, conditions: Conditions, out: set[int]) -> int | None:
        """The place of the candidate that has seen this prompt's head before, if it can take it at ease."""
        points, places = self._ring
        place = places[bisect(points, affinity & 0xFFFFFFFF) % len(places)]
        name = self._ids[place]
        load = (self._taken[place] + conditions.active.get(name, 0)) / self._places[place]
        if slow := conditions.slow.get(self._model):
            load += slow.get(name, 0.0)
        return place if place not in out and load < AT_EASE else None

    @cached_property
    def _ring(self) -> tuple[list[int], list[int]]:
        """Consistent hashing: when a candidate comes or goes, few heads move."""
        ring = sorted(
            (crc32(f"{name} {point}".encode()), place)
            for place, name in enumerate(self._ids)
            for point in range(POINTS)
        )
        return [point for point, _ in ring], [place for _, place in ring]

    def _least(
        self, turns: Sequence[int], conditions: Conditions, out: set[int], limit: int
    ) -> list[tuple[float, int]]:
        """Load and place of the least loaded in service: what the table says and what was sent there since."""
        running, ids, taken, places = conditions.active.get, self._ids, self._taken, self._places
        scores = [(taken[i] + running(ids[i], 0)) / places[i] for i in turns]
        if slow := conditions.slow.get(self._model):
            scores = [score + slow.get(ids[i], 0.0) for i, score in zip(turns, scores, strict=True)]
        if out:
            scores = [math.inf if i in out else score for i, score in zip(turns, scores, strict=True)]
        return [(scores[i], turns[i]) for i in _smallest(scores, limit)]


def _turns(start: int, length: int, size: int) -> Sequence[int]:
    """`length` places from `start` on, round the end."""
    end = start + length
    return range(start, end) if end <= size else (*range(start, size), *range(end - size))


def _start(turn: int, size: int, out: set[int]) -> int:
    """Where the rotation begins: each one in service gets the same share of the turns."""
    if len(out) >= size:
        return 0
    start = turn % (size - len(out))
    for place in sorted(out):
        start += place <= start
    return start


def _smallest(scores: list[float], limit: int) -> list[int]:
    """Indexes of the smallest finite ones, in order; of equals the first comes first."""
    if limit > FEW:
        order = sorted(range(len(scores)), key=scores.__getitem__)[:limit]
        return [i for i in order if scores[i] < math.inf]
    rest, found = scores.copy(), []
    while len(found) < limit and (least := min(rest, default=math.inf)) < math.inf:
        found.append(rest.index(least))
        rest[found[-1]] = math.inf
    return found
