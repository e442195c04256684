"""What makes a play void, and that nothing is judged twice or never."""

from __future__ import annotations

import time

from faults.history import LOAD_SECONDS, History, Load, Operation

NOW = 1000.0


def history(*, age: float = 100.0) -> History:
    made = History()
    made.started = NOW - age
    return made


def note(
    made: History, began: float, ended: float | None = None, *, stream: bool, outcome: str = "ok"
) -> Operation:
    """`began` and `ended` are seconds before now."""
    operation = made.begin("m", stream, "raw")
    operation.started = NOW - began
    if ended is not None:
        operation.ended, operation.outcome = NOW - ended, outcome
    return operation


def test_only_good_whole_answers_of_the_last_seconds_count() -> None:
    made = history()
    note(made, 10, 5, stream=False)
    note(made, 5, 2, stream=False, outcome="502 backend_lost")
    for _ in range(6):
        note(made, 4, 1, stream=False)
    note(made, 1, stream=False)
    assert made.load(NOW) == Load(6 / LOAD_SECONDS, 0)


def test_the_least_number_of_streams_counts() -> None:
    made = history()
    note(made, 9, 1.0, stream=True)
    note(made, 8, stream=True)
    note(made, 4, 1.5, stream=True)
    note(made, 1.5, stream=True)
    note(made, 0.5, stream=True)
    assert made.load(NOW).streams == 2


def test_traffic_that_has_just_begun_is_no_load() -> None:
    made = history(age=LOAD_SECONDS - 0.1)
    for _ in range(1000):
        note(made, 2, 1, stream=False)
        note(made, 2, stream=True)
    assert made.load(NOW) == Load()


def test_what_has_ended_is_given_away_once_and_still_counts_as_load() -> None:
    made, now = History(), time.monotonic()
    made.started = now - 100
    ended, running = (made.begin("m", stream, "raw") for stream in (False, True))
    ended.started = running.started = now - 2
    ended.ended, ended.outcome = now - 1, "ok"
    assert made.settle() == [ended]
    assert made.settle() == []
    assert made.operations == [running]
    assert made.load(now) == Load(1 / LOAD_SECONDS, 0)
    running.ended = now
    assert made.settle() == [running]
