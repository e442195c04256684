"""Whose turn it is, by weight: nobody is ever a whole turn ahead of or behind its share."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Iterator
from itertools import chain
from typing import Generic, Protocol, TypeVar

__all__ = ["FairOrder", "Flow"]

ROUNDING = 1e-9
KEPT = 64


class Flow(Protocol):
    """One who wants turns. `start`, `due` and `number` belong to the order."""

    weight: float
    start: float
    due: float
    number: int

    @property
    def key(self) -> Hashable: ...


F = TypeVar("F", bound=Flow)
Entry = tuple[float, int, F]


class FairOrder(Generic[F]):
    """Earliest eligible virtual deadline first (Stoica and Abdel-Wahab), every turn of length one.

    A flow may have its next turn once its share of the turns so far has reached it (`start`); of those that may, the
    one comes first whose turn should be over first (`due`). All in O(log n).
    """

    def __init__(self) -> None:
        self.weight = 0.0
        self._now = 0.0
        self._ripe: list[Entry[F]] = []  # by due
        self._early: list[Entry[F]] = []  # by start
        self._numbers = 0
        # Whoever leaves and comes back must not get its turn earlier than by staying.
        self._left: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._ripe) + len(self._early)

    def __iter__(self) -> Iterator[F]:
        return (flow for _, _, flow in chain(self._ripe, self._early))

    def join(self, flow: F, *, last: bool = False) -> None:
        """`last`: behind the others, its first turn comes at the end of its first share."""
        self._numbers += 1
        flow.number = self._numbers
        self.weight += flow.weight
        start = max(self._now, self._left.pop(flow.key, 0.0))
        self._set(flow, max(start, self._now + 1 / flow.weight) if last else start)

    def leave(self, flow: F) -> None:
        self._take_out(flow)
        self.weight -= flow.weight
        if not self:
            self._now = self.weight = 0.0
            self._left.clear()
            return
        if flow.start > self._now:
            self._left[flow.key] = flow.start
        if len(self._left) > KEPT + 2 * len(self):
            self._left = {key: start for key, start in self._left.items() if start > self._now}

    def pick(self, wanted: Callable[[F], bool], spared: Callable[[F], bool]) -> F | None:
        """The next of those `wanted`, a `spared` one only if there is no other. Its turn is taken.

        Whoever is passed over as spared has had its chance: it does not save turns up.
        """
        self._ripen()
        passed: list[F] = []
        chosen = None
        for flow in self:
            if not wanted(flow):
                continue
            if not spared(flow):
                chosen = flow
                break
            passed.append(flow)
        if chosen is None:
            if not passed:
                return None
            chosen = passed[0]
        else:
            for flow in passed:
                if flow.start < self._now:
                    self._take_out(flow)
                    self._set(flow, self._now)
        self._take_out(chosen)
        self._now = max(self._now, chosen.start) + 1 / self.weight
        self._set(chosen, chosen.due)
        return chosen

    def _ripen(self) -> None:
        now = self._now + ROUNDING
        while self._early and self._early[0][0] <= now:
            _, number, flow = self._early.pop(0)
            insort(self._ripe, (flow.due, number, flow))

    def _set(self, flow: F, start: float) -> None:
        flow.start, flow.due = start, start + 1 / flow.weight
        insort(self._early, (start, flow.number, flow))

    def _take_out(self, flow: F) -> None:
        for entries, at in ((self._early, flow.start), (self._ripe, flow.due)):
            place = bisect_left(entries, (at, flow.number))
            if place < len(entries) and entries[place][2] is flow:
                del entries[place]
                return
