"""What clients did and saw, one record for each request: faults are judged by it, never by a log."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["TOKENS", "History", "Operation"]

TOKENS = 10
"""Of every good answer."""
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


class History:
    """Every request of one run. Marks are unique across runs."""

    _marks = itertools.count(1)

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.started = time.monotonic()

    def begin(self, model: str, stream: bool, client: str) -> Operation:
        operation = Operation(f"m{next(self._marks)}.", model, stream, client)
        self.operations.append(operation)
        return operation

    def of(self, marks: Iterable[str]) -> list[Operation]:
        wanted = set(marks)
        return [one for one in self.operations if one.mark in wanted]

    def running(self, *, stream: bool) -> int:
        return sum(one.stream is stream and one.ended is None for one in self.operations)

    def good(self, since: float = 0.0) -> Counter[tuple[str, bool]]:
        """By model and streaming: how many requests that began after `since` ended well."""
        return Counter((one.model, one.stream) for one in self.operations if one.ok and one.started >= since)
