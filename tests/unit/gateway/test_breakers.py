"""Ejection by consecutive failures: when, for how long, and back by one proof."""

from __future__ import annotations

import pytest
from nexus_gateway.breakers import FAILURES, FIRST_PAUSE, JITTER, LONGEST_PAUSE, Breakers


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


def eject(breakers: Breakers) -> None:
    for _ in range(FAILURES):
        breakers.start("t")
        breakers.fail("t")


def test_success_forgives_what_was_before(breakers: Breakers) -> None:
    for _ in range(FAILURES - 1):
        breakers.fail("t")
    breakers.succeed("t")
    breakers.fail("t")
    assert breakers.ejected() == {}


def test_five_in_a_row_eject_for_about_five_seconds(breakers: Breakers, clock: Clock) -> None:
    eject(breakers)
    assert list(breakers.ejected()) == ["t"]
    clock.now += FIRST_PAUSE * (1 - JITTER) - 0.01
    assert list(breakers.ejected()) == ["t"]
    clock.now += FIRST_PAUSE * 2 * JITTER + 0.02
    assert breakers.ejected() == {}


def test_one_request_proves_it_and_others_wait_meanwhile(breakers: Breakers, clock: Clock) -> None:
    eject(breakers)
    clock.now += FIRST_PAUSE * (1 + JITTER) + 0.01
    assert breakers.start("t")
    assert list(breakers.ejected()) == ["t"]
    breakers.succeed("t")
    assert breakers.ejected() == {}
    assert not breakers.start("t")


def test_proof_without_result_lets_another_try(breakers: Breakers, clock: Clock) -> None:
    eject(breakers)
    clock.now += FIRST_PAUSE * (1 + JITTER) + 0.01
    breakers.start("t")
    breakers.abandon("t")
    assert breakers.ejected() == {}


def test_each_failed_proof_doubles_the_pause_up_to_a_minute(breakers: Breakers, clock: Clock) -> None:
    eject(breakers)
    for ejection in range(1, 8):
        clock.now += LONGEST_PAUSE * (1 + JITTER) + 0.01
        breakers.start("t")
        breakers.fail("t")
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**ejection)
        clock.now += pause * (1 - JITTER) - 0.01
        assert list(breakers.ejected()) == ["t"]
        clock.now += pause * 2 * JITTER + 0.02
        assert breakers.ejected() == {}


def test_late_failures_do_not_prolong_an_ejection(breakers: Breakers, clock: Clock) -> None:
    eject(breakers)
    for _ in range(20):
        clock.now += 0.1
        breakers.fail("t")
    clock.now += FIRST_PAUSE * (1 + JITTER) - 2 + 0.01
    assert breakers.ejected() == {}


def test_who_left_the_table_is_forgotten(breakers: Breakers) -> None:
    eject(breakers)
    breakers.retain({"other"})
    assert breakers.ejected() == {}
