"""Ejection: when, for how long, of what, for whom, and back by one proof."""

from __future__ import annotations

import pytest
from nexus_gateway.fleet.breaker import (
    FAILURES,
    FIRST_PAUSE,
    GONE_PAUSE,
    JITTER,
    LONGEST_PAUSE,
    STEPS,
    Breaker,
    Outcome,
    View,
)
from nexus_gateway.fleet.breakers import SEVERAL, Breakers, Trial

M = ("t", "m")
ALMOST, OVER = 1 - JITTER, 1 + JITTER


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breakers(clock: Clock) -> Breakers:
    return Breakers(clock)


def begin(breakers: Breakers, model: str = "m", tenant: str = "x") -> Trial:
    trial = Trial("t", model, tenant)
    breakers.start(trial)
    return trial


def ask(breakers: Breakers, *outcomes: Outcome, model: str = "m", tenant: str = "x", times: int = 1) -> None:
    """Requests, one after the other."""
    for _ in range(times):
        trial = begin(breakers, model, tenant)
        for outcome in outcomes:
            breakers.judge(trial, outcome)
        breakers.end(trial)


def ejected(breakers: Breakers, tenant: str = "x") -> set[tuple[str, str]]:
    return set(breakers.ejected(tenant))


def test_success_forgives_what_was_before(breakers: Breakers) -> None:
    ask(breakers, Outcome.FAULT, times=FAILURES - 1)
    ask(breakers, Outcome.SUCCESS)
    ask(breakers, Outcome.FAULT)
    assert ejected(breakers) == set()


def test_five_in_a_row_eject_for_about_five_seconds(breakers: Breakers, clock: Clock) -> None:
    ask(breakers, Outcome.FAULT, times=FAILURES)
    assert ejected(breakers) == {M}
    clock.now += FIRST_PAUSE * ALMOST - 0.01
    assert ejected(breakers) == {M}
    clock.now += FIRST_PAUSE * 2 * JITTER + 0.02
    assert ejected(breakers) == set()


def test_a_verdict_on_one_model_is_none_on_another(breakers: Breakers) -> None:
    """B1: five failures of one model of a backend leave the others alone."""
    ask(breakers, Outcome.FAULT, model="bad", times=FAILURES)
    assert ejected(breakers) == {("t", "bad")}
    assert breakers.gone() == {}


def test_what_several_models_show_speaks_about_the_backend(breakers: Breakers, clock: Clock) -> None:
    """B1: the third model that fails takes those along that nobody has tried."""
    models = {"t": ("a", "b", "c", "d")}
    for count, model in enumerate("abc", 1):
        ask(breakers, Outcome.FAULT, model=model, times=FAILURES)
        assert (("t", "d") in breakers.ejected("x", models)) == (count >= SEVERAL)
    clock.now += FIRST_PAUSE * OVER + 0.01
    assert breakers.ejected("x", models) == {}


def test_a_refused_connection_speaks_about_the_backend_at_once(breakers: Breakers, clock: Clock) -> None:
    """B1: whatever model it was asked for."""
    ask(breakers, Outcome.GONE)
    assert set(breakers.gone()) == {"t"}
    assert ejected(breakers) == set()
    assert 0 < breakers.soonest([("t", "other")]) <= GONE_PAUSE * OVER
    clock.now += GONE_PAUSE * OVER + 0.01
    assert breakers.gone() == {}


def test_one_tenant_s_failures_are_held_against_nobody_s_requests_but_its_own(breakers: Breakers) -> None:
    """A10: however many there are."""
    ask(breakers, Outcome.FAULT, tenant="poisoner", times=50)
    assert ejected(breakers, "poisoner") == {M}
    assert ejected(breakers, "other") == set()


def test_two_tenants_are_witnesses_enough_for_all(breakers: Breakers) -> None:
    """A10: a backend that fails for everybody is found out by the second one's first failure."""
    ask(breakers, Outcome.FAULT, tenant="one", times=FAILURES - 1)
    ask(breakers, Outcome.FAULT, tenant="two")
    assert ejected(breakers, "three") == {M}


def test_pauses_are_of_one_model(breakers: Breakers) -> None:
    """B1: a rate limit is the model's."""
    breakers.pause(M, 3)
    assert set(breakers.paused()) == {M}
    assert breakers.soonest([M]) == 3
    assert breakers.soonest([("t", "other")]) == 0


def test_answers_that_make_no_sense_put_behind_and_do_not_eject_for_longer(
    breakers: Breakers, clock: Clock
) -> None:
    """B1: five in a row cost a turn; however often, never more than that."""
    ask(breakers, Outcome.ODD, Outcome.SUCCESS, times=50)
    for _ in range(4):
        ask(breakers, Outcome.ODD, times=FAILURES - 1)
        ask(breakers, Outcome.SUCCESS)
        assert ejected(breakers) == set()
    for _ in range(5):
        ask(breakers, Outcome.ODD, times=FAILURES)
        assert ejected(breakers) == {M}
        clock.now += FIRST_PAUSE * OVER + 0.01
        assert ejected(breakers) == set()


def test_one_request_proves_it_and_others_wait_meanwhile(breakers: Breakers, clock: Clock) -> None:
    ask(breakers, Outcome.FAULT, times=FAILURES)
    clock.now += FIRST_PAUSE * OVER + 0.01
    trial = begin(breakers)
    assert ejected(breakers) == {M}
    breakers.judge(trial, Outcome.SUCCESS)
    breakers.end(trial)
    assert ejected(breakers) == set()


def test_a_breaker_counts_as_open_until_its_target_has_proved_itself(
    breakers: Breakers, clock: Clock
) -> None:
    ask(breakers, Outcome.FAULT)
    assert breakers.open == 0
    ask(breakers, Outcome.FAULT, times=FAILURES - 1)
    assert breakers.open == 1
    clock.now += FIRST_PAUSE * OVER + 0.01
    trial = begin(breakers)
    assert breakers.open == 1
    breakers.judge(trial, Outcome.SUCCESS)
    breakers.end(trial)
    assert breakers.open == 0


@pytest.mark.parametrize("outcome", [Outcome.ANSWERED, Outcome.NOTHING, None])
def test_a_proof_that_tells_nothing_ends_and_another_may_try(
    breakers: Breakers, clock: Clock, outcome: Outcome | None
) -> None:
    """B2: a rate limit, a refusal, a cancellation, or nothing at all."""
    ask(breakers, Outcome.FAULT, times=FAILURES)
    clock.now += FIRST_PAUSE * OVER + 0.01
    ask(breakers, *([outcome] if outcome else []))
    assert ejected(breakers) == set()


def test_a_proof_that_never_ends_holds_nobody_off_for_longer_than_its_time(
    breakers: Breakers, clock: Clock
) -> None:
    """B2: not even one whose end is never told."""
    ask(breakers, Outcome.FAULT, times=FAILURES)
    clock.now += FIRST_PAUSE * OVER + 0.01
    begin(breakers)
    clock.now += FIRST_PAUSE + 0.01
    assert ejected(breakers) == set()
    ask(breakers, Outcome.SUCCESS)
    assert ejected(breakers) == set()


def test_a_stream_proves_it_by_its_beginning_and_one_failure_undoes_that(
    breakers: Breakers, clock: Clock
) -> None:
    """B2: a stream may last for an hour."""
    ask(breakers, Outcome.FAULT, times=FAILURES)
    clock.now += FIRST_PAUSE * OVER + 0.01
    trial = begin(breakers)
    breakers.judge(trial, Outcome.CONTENT)
    assert ejected(breakers) == set()
    breakers.judge(trial, Outcome.FAULT)
    assert ejected(breakers) == {M}


def test_each_failed_proof_doubles_the_pause_up_to_a_minute(breakers: Breakers, clock: Clock) -> None:
    ask(breakers, Outcome.FAULT, times=FAILURES)
    for ejection in range(1, 8):
        clock.now += LONGEST_PAUSE * OVER + 0.01
        ask(breakers, Outcome.FAULT)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**ejection)
        clock.now += pause * ALMOST - 0.01
        assert ejected(breakers) == {M}
        clock.now += pause * 2 * JITTER + 0.02
        assert ejected(breakers) == set()


def test_late_failures_do_not_prolong_an_ejection(breakers: Breakers, clock: Clock) -> None:
    under_way = [begin(breakers) for _ in range(20)]
    ask(breakers, Outcome.FAULT, times=FAILURES)
    for trial in under_way:
        clock.now += 0.1
        breakers.judge(trial, Outcome.FAULT)
    clock.now += FIRST_PAUSE * OVER - 2 + 0.01
    assert ejected(breakers) == set()


def test_who_left_the_table_or_came_back_to_it_is_forgotten(breakers: Breakers) -> None:
    """B9: an instance that is back starts anew."""
    for forget in (lambda: breakers.retain({"other"}), lambda: breakers.renew({"t"})):
        ask(breakers, Outcome.FAULT, times=FAILURES)
        ask(breakers, Outcome.GONE)
        forget()
        assert (ejected(breakers), breakers.gone()) == (set(), {})


def test_what_is_long_ago_is_forgotten(breakers: Breakers, clock: Clock) -> None:
    for tenant in range(100):
        ask(breakers, Outcome.FAULT, tenant=str(tenant), times=FAILURES)
    clock.now += 3 * LONGEST_PAUSE
    breakers.retain({"t"})
    assert breakers.held == {}  # it must not grow


def test_every_outcome_of_a_probe_has_its_step() -> None:
    """B2: none leaves it as it is."""
    assert set(STEPS[View.PROBED]) == set(Outcome)
    assert all(hasattr(Breaker, step.__name__) for steps in STEPS.values() for step in steps.values())
