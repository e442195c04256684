"""Retries never amplify an outage, and a quiet gateway may still retry."""

from __future__ import annotations

from hypothesis import strategies as st
from nexus_gateway.dispatch.attempts import LEAST, SHARE, WINDOW, RetryBudget
from nexus_gateway.fleet.breaker import FAILURES
from support.properties import examples, given


def test_twice_what_opens_a_breaker_is_always_allowed_then_a_fifth() -> None:
    """B3: the floor outlasts the breaker."""
    assert LEAST >= 2 * FAILURES
    now = 0.0
    budget = RetryBudget(lambda: now)
    assert [budget.take() for _ in range(LEAST + 2)] == [True] * LEAST + [False] * 2
    for _ in range(100):
        budget.count_request()
    assert sum(budget.take() for _ in range(100)) == 100 * SHARE - LEAST


def test_what_is_ten_seconds_ago_does_not_count() -> None:
    now = 0.0
    budget = RetryBudget(lambda: now)
    assert all(budget.take() for _ in range(LEAST))
    now = WINDOW / 2
    assert not budget.take()
    now = WINDOW + 0.1
    assert budget.take()


@examples(2_000)
@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=200))
def test_no_window_has_more_than_its_share(steps: list[tuple[float, bool]]) -> None:
    now, requests, granted = 0.0, [], []
    budget = RetryBudget(lambda: now)
    for pause, is_request in steps:
        now += pause
        if is_request:
            budget.count_request()
            requests.append(now)
        elif budget.take():
            granted.append(now)
    # A second's requests and retries leave the window together, so it may reach back one second further.
    for end in granted:
        recent = [moment for moment in requests if end - WINDOW - 1 <= moment <= end]
        retries = [moment for moment in granted if end - WINDOW + 1 < moment <= end]
        assert len(retries) <= max(LEAST, SHARE * len(recent))
