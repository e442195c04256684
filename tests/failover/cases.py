"""The exam as a table: the public kinds of failure, what A does in each, and what its client has to see.

A is preferred, B is healthy and offers the same model. A whole answer is due wherever nothing had reached the client
(whole answers always; streams as long as they have no content), and with `resume` in mid-stream too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from support.fault_backend import (
    FILTERED,
    Fault,
    claims,
    cut,
    filters,
    in_band,
    no_done,
    raw,
    refuse,
    reset,
    silent,
    slow,
)

__all__ = ["CASES", "KINDS", "ROWS", "Case", "Due", "Row"]

Due = Literal["whole", "told", "filtered", "too long", "whole or told"]
"""What the client must see: the whole answer; an explicit error, in words of ours and never an end that looks well;
the verdict of A's content filter; the refusal of a prompt that is too long."""

LATE = 90.0
"""Seconds. Longer than any client of the exam waits."""
AGAIN = 8
"""Requests of a case in which A fails again and again: more than eject it, at the pace of a person who tries again."""
LIMITED = {
    "message": "Rate limit reached.",
    "type": "rate_limit_error",
    "param": None,
    "code": "rate_limit_exceeded",
}
TOO_LONG = {
    "message": "This model's maximum context length is 2048 tokens. However, your messages resulted in 3000 tokens.",
    "type": "invalid_request_error",
    "param": "messages",
    "code": "context_length_exceeded",
}
BROKEN = b'{"id": "x", "choices": [{'
BELOW_ZERO = {"prompt_tokens": -1, "completion_tokens": -1, "total_tokens": -2}
NO_ROOM, ROOM = 2048, 8192


@dataclass(frozen=True)
class Row:
    """One way in which A fails.

    `times`: chats that meet it, None = all. `mid_stream`: a stream has content out by then. `requests` are made one
    after the other. `by`: who gives the whole answer, where that is not a matter of chance. `other` is how B is set up:
    it "refuses prefill" or "differs", saying something else than A does. `context` is A's, told in its settings, in
    tokens; B's is told as ROOM whenever A's is. `stands_in`: B offers a fallback of the model instead of the model
    itself. `flaps`: A goes down and comes up all the time. `due`: None = a whole answer, or the rule for mid-stream.
    `asks_b`: whether B may be asked. `counts`: whether A's own usage can be believed.
    """

    kind: str
    fault: Fault
    what: str = ""
    times: int | None = None
    mid_stream: bool = False
    requests: int = 1
    by: Literal["", "a", "b"] = "b"
    other: Literal["", "refuses prefill", "differs"] = ""
    context: int = 0
    stands_in: bool = False
    flaps: bool = False
    forms: tuple[Literal["whole", "streamed"], ...] = ("whole", "streamed")
    resumes: tuple[bool, ...] = (False, True)
    due: Due | None = None
    asks_b: bool = True
    counts: bool = True


ROWS = (
    Row("429 with Retry-After", refuse(429, LIMITED, {"Retry-After": "2"}), times=1),
    Row("persistent 429", refuse(429, LIMITED), requests=AGAIN),
    Row("one 500", refuse(500), times=1),
    Row("one 500", refuse(500), "and every other after it", requests=AGAIN),
    Row("503", refuse(503, b"Service Unavailable")),
    Row("reset", reset),
    Row("no response", silent),
    Row("slow first token", slow(LATE, head=True), "after its head", by=""),
    Row("slow first token", slow(LATE, head=False), "without a head", by="", forms=("streamed",)),
    Row("cut in mid-stream", cut("reset"), mid_stream=True),
    Row("cut in mid-stream", cut("reset"), "B says something else", mid_stream=True, other="differs",
        forms=("streamed",), resumes=(True,), due="told"),
    Row("clean cut", cut("clean"), mid_stream=True),
    Row("in-band error with [DONE]", in_band(), mid_stream=True),
    Row("in-band error with [DONE]", in_band(after=0), "before any content", forms=("streamed",)),
    Row("in-band error with [DONE]", in_band(LIMITED, after=0), "a rate limit"),
    Row("stall", cut("stall"), mid_stream=True),
    Row("malformed chunk", raw(BROKEN), mid_stream=True),
    Row("malformed chunk", raw(BROKEN, after=0), "before any content", forms=("streamed",)),
    Row("no [DONE]", no_done, by="a", asks_b=False),
    Row("context length", refuse(400, TOO_LONG), "B has room", context=NO_ROOM),
    Row("context length", refuse(400, TOO_LONG), "a fallback has room", context=NO_ROOM, stands_in=True),
    Row("context length", refuse(400, TOO_LONG), "nobody is known to have room", due="too long", asks_b=False),
    Row("content filter", refuse(400, FILTERED), "refuses", due="filtered", asks_b=False),
    Row("content filter", filters, "stops the answer", resumes=(True,), due="filtered", by="a", asks_b=False),
    Row("content filter", in_band(FILTERED), "in mid-stream", mid_stream=True, forms=("streamed",),
        due="filtered", by="a", asks_b=False),
    Row("prefill refused", cut("reset"), mid_stream=True, other="refuses prefill"),
    Row("flap", refuse(500), mid_stream=True, requests=AGAIN, by="", flaps=True),
    Row("accounting", cut("reset", counting=True), "cut after it counted", mid_stream=True),
    Row("accounting", claims(BELOW_ZERO), "a usage below zero", by="", counts=False),
)  # fmt: skip
KINDS = tuple(dict.fromkeys(row.kind for row in ROWS))


@dataclass(frozen=True)
class Case:
    """A row, asked for in one form."""

    row: Row
    streamed: bool
    resume: bool

    @property
    def due(self) -> Due:
        row = self.row
        if row.due is not None:
            return row.due
        if not (self.streamed and row.mid_stream) or self.resume:
            return "whole"
        return "whole or told" if row.flaps else "told"

    @property
    def stands_for_kind(self) -> bool:
        """Whether its row is the first of its kind: the others are variants, of interest once."""
        return self.row is next(row for row in ROWS if row.kind == self.row.kind)

    @property
    def form(self) -> str:
        return f"{'streamed' if self.streamed else 'whole'}{', resume' if self.resume else ''}"

    def __str__(self) -> str:
        what = f": {self.row.what}" if self.row.what else ""
        return f"{self.row.kind}{what} ({self.form})"


def _cases() -> Iterator[Case]:
    """`resume` makes a difference to streams that break with content out, and to no others."""
    for row in ROWS:
        for form in row.forms:
            streamed = form == "streamed"
            for resume in row.resumes if streamed and row.mid_stream else row.resumes[:1]:
                yield Case(row, streamed, resume)


CASES = tuple(_cases())
