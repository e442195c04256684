"""The examiner itself: what must not pass, does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from failover.cases import CASES, KINDS, Case
from failover.clients import Seen
from failover.judging import Asked, Counted, judge
from support.fault_backend import TOKENS, answer_to, prompt_tokens

BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "a question"}]}
PROMPT = prompt_tokens(BODY["messages"])
TEXT = "".join(answer_to(BODY["messages"]))
USAGE = {"prompt_tokens": PROMPT, "completion_tokens": TOKENS, "total_tokens": PROMPT + TOKENS}
BY_B = {"x-nexus-backend": "b", "x-nexus-attempts": "2"}
BY_A = {"x-nexus-backend": "a-1", "x-nexus-attempts": "1"}
WHOLE = Seen("raw", "whole", TEXT, "stop", TOKENS, USAGE, BY_B, 200)
REFUSED = Seen("raw", "told", status=502, code="upstream_error")
BROKEN = Seen("raw", "told", "".join(answer_to(BODY["messages"])[:5]), chunks=5, code="stream_interrupted")
FILTERED = Seen("raw", "told", status=400, code="content_filter")
COUNTED = Counted(requests=1, ok=1, prompt=PROMPT, completion=TOKENS, a=1, b=1)
FAILED = Counted(requests=1, ok=0, prompt=PROMPT, completion=5, a=1, b=0)

BEFORE = "one 500 (whole)"
CUT, RESUMED = "cut in mid-stream (streamed)", "cut in mid-stream (streamed, resume)"
FILTER = "content filter: refuses (whole)"


def case(name: str) -> Case:
    return next(each for each in CASES if str(each) == name)


def changed(seen: Seen, **fields: Any) -> Seen:
    return dataclasses.replace(seen, **fields)


GOOD = {
    "another backend answers": (BEFORE, WHOLE, COUNTED),
    "a cut stream says so": (CUT, BROKEN, FAILED),
    "a resumed stream is whole": (RESUMED, changed(WHOLE, headers=BY_A), COUNTED),
    "a stream whose head went out before anybody had answered": (
        "no response (streamed)",
        changed(WHOLE, headers={}),
        COUNTED,
    ),
    "the content filter's verdict": (FILTER, FILTERED, dataclasses.replace(FAILED, completion=0)),
}
IN_BURST = {
    "a backend left out by then": (RESUMED, WHOLE),
    "a cut stream that says so": (CUT, BROKEN),
}
BAD = {
    "an error though B was there": (BEFORE, REFUSED, FAILED),
    "hung": (BEFORE, Seen("raw"), FAILED),
    "half an answer that looks finished": (BEFORE, changed(WHOLE, text=TEXT[:20]), COUNTED),
    "the answer twice": (RESUMED, changed(WHOLE, headers=BY_A, text=TEXT + TEXT), COUNTED),
    "a seam in the answer": (RESUMED, changed(WHOLE, headers=BY_A, text=TEXT[:20] + TEXT[15:]), COUNTED),
    "an answer without its stop": (BEFORE, changed(WHOLE, finish="length"), COUNTED),
    "a cut stream that looks finished": (CUT, changed(WHOLE, headers=BY_A, text=TEXT[:20]), COUNTED),
    "an error before anything was out": (CUT, changed(BROKEN, text="", chunks=0, status=502), FAILED),
    "not resumed": (RESUMED, BROKEN, FAILED),
    "a filtered prompt answered by B": (FILTER, WHOLE, COUNTED),
    "a filtered prompt shown to B": (FILTER, FILTERED, dataclasses.replace(FAILED, b=1)),
    "tokens counted twice": (BEFORE, WHOLE, dataclasses.replace(COUNTED, completion=2 * TOKENS)),
    "a request counted twice": (BEFORE, WHOLE, dataclasses.replace(COUNTED, requests=2)),
    "an error counted as ok": (CUT, BROKEN, dataclasses.replace(FAILED, ok=1)),
    "usage of A and B together": (
        RESUMED,
        changed(WHOLE, headers=BY_A, usage=USAGE | {"completion_tokens": TOKENS + 5}),
        COUNTED,
    ),
    "the wrong backend named": (BEFORE, changed(WHOLE, headers=BY_A), COUNTED),
    "one attempt told of two": (BEFORE, changed(WHOLE, headers=BY_B | {"x-nexus-attempts": "1"}), COUNTED),
    "A never asked": (BEFORE, WHOLE, dataclasses.replace(COUNTED, a=0)),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_right_passes(name: str) -> None:
    which, seen, counted = GOOD[name]
    assert judge(case(which), Asked(BODY, seen, counted), first=True) == []


@pytest.mark.parametrize("name", IN_BURST)
def test_what_is_right_in_a_burst_passes(name: str) -> None:
    which, seen = IN_BURST[name]
    assert judge(case(which), Asked(BODY, seen), first=False) == []


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_does_not(name: str) -> None:
    which, seen, counted = BAD[name]
    assert judge(case(which), Asked(BODY, seen, counted), first=True)


def test_every_kind_is_examined_whole_and_streamed_and_in_mid_stream_with_resume() -> None:
    assert len(KINDS) == 18
    for kind in KINDS:
        played = [each for each in CASES if each.row.kind == kind]
        assert {each.streamed for each in played} == {False, True}
    for each in CASES:
        if each.due == "told" and not each.row.due:
            assert dataclasses.replace(each, resume=True) in CASES
