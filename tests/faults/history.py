"""What clients did and saw, one record for each request: faults are judged by it, never by a log."""

from __future__ import annotations

import itertools
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["LOAD_SECONDS", "STREAMED", "TOKENS", "History", "Load", "Operation"]

TOKENS = 10
"""Of every good answer."""
LOAD_SECONDS = 3.0
"""Load is measured over so long."""
STREAMED, WHOLE = "s", "w"
"""First letter of a request's mark: what its client asked for, whatever its backend is asked for."""
DISHONEST = ("lied", "hung", "cut", "open")


@dataclass(slots=True)
class Operation:
    """One request. `outcome` says how it looked to its client:

    `ok` or `ok content_filter` (any finish reason but stop), `429 rate_limit_exceeded` (refused),
    `broken stream_interrupted` (a stream that ended with an error), and what must never be: `lied ...`, `hung`,
    `cut ...` (no HTTP end), `open` (no end at all).
    """

    mark: str
    model: str
    stream: bool
    client: str
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    outcome: str = "open"
    text: str = ""
    finish: str | None = None
    retry_after: str | None = None
    normal: bool = False
    """Whether it ended without an error, whatever came."""

    @property
    def kind(self) -> str:
        return "stream" if self.stream else "unary"

    @property
    def ok(self) -> bool:
        return self.outcome.startswith("ok")

    @property
    def dishonest(self) -> bool:
        return self.outcome.startswith(DISHONEST)

    def received(self) -> int:
        """How many tokens of its own answer came, in order and once. AssertionError for anything else."""
        words = self.text.split()
        foreign = [word for place, word in enumerate(words) if word != f"{self.mark}{place}"]
        assert not foreign, f"tokens that are not its own, or not in order: {foreign[:3]}"
        return len(words)

    def end(self, outcome: str) -> None:
        """A good end must have its finish reason, and with `stop` every token."""
        self.outcome, self.normal = outcome, outcome == "ok"
        try:
            received = self.received()
            if outcome == "ok":
                assert self.finish, "a normal end without a finish reason"
                if self.finish != "stop":
                    self.outcome = f"ok {self.finish}"
                else:
                    assert received == TOKENS, f"a normal end after {received} of {TOKENS} tokens"
        except AssertionError as lie:
            self.outcome = f"lied: {lie}"
        self.ended = time.monotonic()

    def overlaps(self, start: float, end: float) -> bool:
        return self.started <= end and (self.ended is None or self.ended >= start)

    def __str__(self) -> str:
        return f"{self.client} {self.kind} {self.mark} on {self.model}: {self.outcome}"


@dataclass(frozen=True, slots=True)
class Load:
    """Whole good answers per second, and the least number of streams that were open at once."""

    whole: float = 0.0
    streams: int = 0

    def __str__(self) -> str:
        return f"{self.whole:.0f} whole answers/s, {self.streams} streams"


class History:
    """Every request of a time of traffic, until it is settled. Marks are unique across all histories."""

    _marks = itertools.count(1)

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        """In the order they began."""
        self.started = time.monotonic()
        self._settled: list[Operation] = []
        self._by_mark: dict[str, Operation] = {}

    def begin(self, model: str, stream: bool, client: str) -> Operation:
        operation = Operation(f"{STREAMED if stream else WHOLE}{next(self._marks)}.", model, stream, client)
        self.operations.append(operation)
        self._by_mark[operation.mark] = operation
        return operation

    def settle(self) -> list[Operation]:
        """All that have ended, to be judged now: each is given away once, and forgotten but for its load."""
        ended = [one for one in self.operations if one.ended is not None]
        self.operations = [one for one in self.operations if one.ended is None]
        self._by_mark = {one.mark: one for one in self.operations}
        since = time.monotonic() - LOAD_SECONDS
        self._settled = [one for one in (*self._settled, *ended) if one.ended and one.ended >= since]
        return ended

    def of(self, marks: Iterable[str]) -> list[Operation]:
        return [one for mark in marks if (one := self._by_mark.get(mark))]

    def since(self, start: float) -> list[Operation]:
        """Those that began then or later."""
        return self.operations[bisect_left(self.operations, start, key=lambda one: one.started) :]

    def all_ended(self, before: float) -> bool:
        """Whether everything that began before is over."""
        count = bisect_left(self.operations, before, key=lambda one: one.started)
        return all(one.ended is not None for one in self.operations[:count])

    def good(self, since: float = 0.0) -> Counter[tuple[str, bool]]:
        """By model and streaming: how many requests that began after `since` ended well."""
        return Counter((one.model, one.stream) for one in self.since(since) if one.ok)

    def load(self, now: float) -> Load:
        """Of the last LOAD_SECONDS; nothing while the traffic is younger than that."""
        start = now - LOAD_SECONDS
        if start < self.started:
            return Load()
        lately = [one for one in (*self._settled, *self.operations) if one.overlaps(start, now)]
        whole = sum(one.ok and not one.stream for one in lately)
        streams = [one for one in lately if one.stream]
        changes = [(one.started, 1) for one in streams if one.started > start]
        changes += [(one.ended, -1) for one in streams if one.ended is not None]
        begun = sum(one.started <= start for one in streams)
        return Load(whole / LOAD_SECONDS, min(_running(begun, changes)))


def _running(begun: int, changes: list[tuple[float, int]]) -> Iterable[int]:
    """How many there were at each moment; of changes at the same one, ends come first."""
    return itertools.accumulate((change for _, change in sorted(changes)), initial=begun)
