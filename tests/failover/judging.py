"""What is wrong with what was seen of a case: nothing, if its row is held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from failover.cases import Case
from failover.clients import Seen
from support.fault_backend import TOKENS, answer_to, prompt_tokens

__all__ = ["Asked", "Counted", "Verdict", "judge", "judge_burst", "sum_up"]

LATE = 0.5
"""Seconds that are told: a machine as busy as that may be why something failed."""


@dataclass(frozen=True)
class Counted:
    """What the gateway's metrics and the backends' own counts of calls grew by, over one request."""

    requests: float
    ok: float
    prompt: float
    completion: float
    a: int
    b: int


@dataclass(frozen=True)
class Asked:
    """One request of a case: what was asked, what was seen, what was counted; None = nobody looked."""

    body: Mapping[str, Any]
    seen: Seen
    counted: Counted | None = None


@dataclass
class Verdict:
    """A case that was played. `late`: seconds for which the exam itself stood still, and B with it."""

    case: Case
    asked: list[Asked] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    late: float = 0.0

    @property
    def state(self) -> str:
        if self.wrong:
            return "FAILED"
        is_whole = all(each.seen.state == "whole" for each in self.asked)
        return "whole" if is_whole and self.case.due.startswith("whole") else "explicit"

    @property
    def what_came(self) -> str:
        came: dict[str, int] = {}
        for each in self.asked:
            came[str(each.seen)] = came.get(str(each.seen), 0) + 1
        late = [f"the exam itself stood still for {self.late:.1f} s"] if self.late > LATE else []
        return "; ".join([*(f"{count} x {what}" for what, count in came.items()), *late])


def judge(case: Case, asked: Asked, *, first: bool) -> list[str]:
    """What breaks the rules. `first`: A cannot have been left out for what it did before."""
    wrong = [*_as_due(case, asked)]
    if asked.counted is not None:
        wrong += _accounts(case, asked, asked.counted, first)
    return [f"{asked.seen.reader}: {each}" for each in wrong]


def judge_burst(verdict: Verdict, counted: Counted) -> Iterator[str]:
    """What is wrong with the sum of a burst."""
    requests = len(verdict.asked)
    if not counted.a:
        yield "void: A was not asked"
    if not verdict.case.row.asks_b and counted.b:
        yield f"B was asked {counted.b} times"
    if counted.requests != requests:
        yield f"{counted.requests:g} requests counted, of {requests}"
    if verdict.case.due == "whole" and not verdict.wrong and counted.completion != requests * TOKENS:
        yield f"{counted.completion:g} tokens counted, of {requests * TOKENS}"


def _as_due(case: Case, asked: Asked) -> Iterator[str]:
    seen, text = asked.seen, "".join(answer_to(asked.body["messages"]))
    if seen.state not in ("whole", "told"):
        yield f"{case.due} was due, came {seen}"
    elif not text.startswith(seen.text):
        yield f"the text is not the backends': {seen.text!r} of {text!r}"
    elif seen.state == "whole":
        yield from _whole(case, asked, text)
    elif case.due == "whole":
        yield f"a whole answer was due, came {seen}"
    elif case.due in ("told", "whole or told") and not seen.chunks:
        yield f"a whole answer was due, for nothing had reached the client; came {seen}"
    elif case.due == "filtered" and seen.code != "content_filter":
        yield f"the content filter's verdict was due, came {seen}"
    elif case.due == "too long" and seen.code != "context_length_exceeded":
        yield f"context_length_exceeded was due, came {seen}"


def _whole(case: Case, asked: Asked, text: str) -> Iterator[str]:
    row, seen = case.row, asked.seen
    if case.due == "filtered":
        if seen.finish != "content_filter":
            yield f"the content filter's verdict was due, came {seen}"
        return
    if case.due not in ("whole", "whole or told"):
        yield f"{case.due} was due, came {seen}"
    if seen.text != text:
        yield f"only {seen.text!r} of {text!r}, and it looks finished"
    if seen.finish != "stop":
        yield f"finish {seen.finish}"
    if asked.counted is not None:
        yield from _named(case, seen)
    if row.stands_in and not seen.headers.get("x-nexus-fallback-model"):
        yield "no X-Nexus-Fallback-Model"


def _named(case: Case, seen: Seen) -> Iterator[str]:
    """Who answered, or began to. A stream's head may be due before anybody has."""
    row, backend = case.row, seen.headers.get("x-nexus-backend", "")
    by = "a" if case.streamed and row.mid_stream and not row.flaps else row.by
    allowed = (by, *("b" * (row.requests > 1)))
    if not (case.streamed and not backend) and not backend.startswith(allowed):
        yield f"X-Nexus-Backend is {backend}, not {by}'s"


def _accounts(case: Case, asked: Asked, counted: Counted, first: bool) -> Iterator[str]:
    """Every request once, every token once, whoever else was asked for them."""
    seen, row = asked.seen, case.row
    if counted.requests != 1:
        yield f"counted {counted.requests:g} times among the requests"
    if counted.ok != (seen.state == "whole"):
        yield f"counted {counted.ok:g} times as ok"
    if first and row.context == 0 and not row.flaps and not counted.a:
        yield "void: A was not asked"
    if not row.asks_b and counted.b:
        yield f"B was asked {counted.b} times"
    if seen.state != "whole":
        if counted.completion > TOKENS:
            yield f"{counted.completion:g} tokens counted of an answer that would have had {TOKENS}"
        return
    attempts = int(seen.headers.get("x-nexus-attempts", 0))
    if seen.headers.get("x-nexus-backend", "").startswith("b") and attempts < 1 + min(counted.a, 1):
        yield f"X-Nexus-Attempts is {attempts}, after {counted.a} calls of A"
    if case.due in ("whole", "whole or told"):
        yield from _usage(asked, counted, row.counts or seen.headers.get("x-nexus-backend") == "b")


def _usage(asked: Asked, counted: Counted, exact: bool) -> Iterator[str]:
    due = {"prompt_tokens": prompt_tokens(asked.body["messages"]), "completion_tokens": TOKENS}
    due["total_tokens"] = sum(due.values())
    if not exact:
        if any(count < 0 for count in (asked.seen.usage or {}).values() if isinstance(count, int)):
            yield f"usage {asked.seen.usage}"
        return
    told = {name: (asked.seen.usage or {}).get(name) for name in due}
    if told != due:
        yield f"usage {told}, not {due}"
    if (counted.prompt, counted.completion) != (due["prompt_tokens"], due["completion_tokens"]):
        yield f"metrics count {counted.prompt:g} + {counted.completion:g} tokens"


def sum_up(verdicts: Sequence[Verdict]) -> str:
    """The last line of an exam."""
    states = [verdict.state for verdict in verdicts]
    return (
        f"{len(states)} cases: {states.count('FAILED')} failures, {states.count('whole')} whole answers, "
        f"{states.count('explicit')} explicit errors"
    )
