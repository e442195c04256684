"""Which failures are tried again, and when."""

from __future__ import annotations

import pytest
from hypothesis import strategies as some
from nexus_mesh.core import Reason
from nexus_tasks.retries import RETRIES, WORKER_LOST, Retry, delay
from support.properties import given

TABLE = {"x": Retry(limit=3, delays=(0.0, 1.0), jitter=0.0), "once more": Retry(limit=2, delays=())}
REFUSALS = (
    Reason.INVALID_REQUEST,
    Reason.CALLER_SCOPE,
    Reason.PRIVACY_ZONE,
    Reason.CONTEXT_LENGTH,
    Reason.INTERNAL,
)


@pytest.mark.parametrize(
    ("reason", "attempt", "asked", "waits"),
    [
        ("x", 1, 0.0, 0.0),
        ("x", 2, 0.0, 1.0),
        ("x", 3, 0.0, None),
        ("x", 9, 0.0, None),
        ("x", 1, 7.0, 7.0),
        ("once more", 1, 0.0, 0.0),
        ("once more", 2, 0.0, None),
        ("unknown", 1, 9.0, None),
    ],
)
def test_the_table_is_obeyed(reason: str, attempt: int, asked: float, waits: float | None) -> None:
    assert delay(TABLE, reason, attempt, asked, lambda: 0.5) == waits


def test_the_last_delay_repeats() -> None:
    waits = [
        delay({"x": Retry(9, (1.0, 4.0), jitter=0.0)}, "x", attempt, 0.0, lambda: 0.0)
        for attempt in range(1, 5)
    ]
    assert waits == [1.0, 4.0, 4.0, 4.0]


@given(some.sampled_from(sorted(RETRIES)), some.integers(1, 20), some.floats(0, 100), some.floats(0, 1))
def test_jitter_keeps_near_the_delay_and_retry_after_is_never_cut(
    reason: str, attempt: int, asked: float, chance: float
) -> None:
    wait = delay(RETRIES, reason, attempt, asked, lambda: chance)
    retry = RETRIES[reason]
    if attempt >= retry.limit:
        assert wait is None
    else:
        planned = retry.delays[min(attempt, len(retry.delays)) - 1]
        assert wait is not None
        assert asked <= wait <= max(asked, planned * (1 + retry.jitter) + 1e-9)
        assert wait >= planned * (1 - retry.jitter) - 1e-9


def test_what_cannot_pass_by_itself_is_not_tried_again() -> None:
    assert not set(REFUSALS) & set(RETRIES)


def test_a_payload_that_kills_its_workers_does_so_five_times() -> None:
    assert RETRIES[WORKER_LOST].limit == 5
