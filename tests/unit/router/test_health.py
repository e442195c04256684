"""Hysteresis: down at once, up the later the more often it fell."""

from __future__ import annotations

from hypothesis import strategies as st
from nexus.registry.v1.instance_pb2 import STATE_ACTIVE, STATE_DRAINING, STATE_STARTING, STATE_UNHEALTHY
from nexus_router.health import HOLDS, WINDOW_SECONDS, Health, State
from support.properties import examples, given

WELL, ILL = (STATE_ACTIVE, ""), (STATE_UNHEALTHY, "no answer")


class Ward:
    """One target under observation."""

    def __init__(self) -> None:
        self.health = Health()

    def judge(self, report: tuple[State, str], now: float) -> State:
        return self.health.judge("t", *report, now)[0]

    def fall(self, now: float) -> None:
        """Usable, then not."""
        self.judge(ILL, now)

    def rises_at(self, now: float) -> float:
        """Looks well from `now` on; when it is believed."""
        while self.judge(WELL, now) != STATE_ACTIVE:
            due = self.health.next_due()
            assert due is not None
            assert due > now
            now = due
        return now


def test_a_new_target_is_believed_at_once() -> None:
    assert Ward().judge(WELL, 0.0) == STATE_ACTIVE


def test_starting_is_no_failure() -> None:
    ward = Ward()
    assert ward.judge((STATE_STARTING, "loading"), 0.0) == STATE_STARTING
    assert ward.judge(WELL, 1.0) == STATE_ACTIVE
    assert ward.judge((STATE_DRAINING, ""), 2.0) == STATE_DRAINING
    assert ward.judge(WELL, 3.0) == STATE_ACTIVE


def test_falls_at_once_and_rises_later_each_time() -> None:
    ward = Ward()
    ward.judge(WELL, 0.0)
    now = 10.0
    for hold in HOLDS[1:]:
        assert ward.judge(ILL, now) == STATE_UNHEALTHY
        risen = ward.rises_at(now)
        assert risen == now + hold
        now = risen + 0.1


def test_a_new_failure_while_waiting_starts_the_wait_again() -> None:
    ward = Ward()
    ward.judge(WELL, 0.0)
    ward.fall(1.0)
    ward.judge(WELL, 1.5)
    ward.judge(ILL, 2.0)
    assert ward.rises_at(3.0) == 3.0 + HOLDS[1]


def test_old_falls_are_forgotten() -> None:
    ward = Ward()
    ward.judge(WELL, 0.0)
    ward.fall(0.1)
    ward.rises_at(0.1)
    ward.fall(0.1 + WINDOW_SECONDS + 5)
    assert ward.rises_at(100.0) == 100.0 + HOLDS[1]


def test_while_held_it_says_why() -> None:
    health = Health()
    health.judge("t", STATE_ACTIVE, "", 0.0)
    health.judge("t", STATE_UNHEALTHY, "no answer", 1.0)
    state, reason = health.judge("t", STATE_ACTIVE, "", 1.0)
    assert state == STATE_UNHEALTHY
    assert "after 1 s" in reason


def test_who_is_gone_for_long_is_forgotten() -> None:
    health = Health()
    health.judge("t", STATE_ACTIVE, "", 0.0)
    health.judge("t", STATE_UNHEALTHY, "", 1.0)
    health.judge("t", STATE_ACTIVE, "", 1.0)
    health.forget({"t"}, WINDOW_SECONDS + 2)
    assert health.next_due() is None
    assert health.judge("t", STATE_ACTIVE, "", 100.0)[0] == STATE_ACTIVE


def test_leaving_is_no_failure() -> None:
    health = Health()
    for report in (WELL, ILL, WELL):
        health.judge("n/adapter/a#t", *report, 0.0)
    health.forget({"n/adapter/b"}, 1.0)
    assert health.next_due() is None
    assert health.judge("n/adapter/a#t", *WELL, 0.0)[0] == STATE_ACTIVE


def test_who_is_not_there_is_not_waited_for() -> None:
    health = Health()
    for report in (WELL, ILL, WELL):
        health.judge("a#gone", *report, 0.0)
        health.judge("a#there", *report, 0.5)
    health.forget({"a"}, 0.5)
    assert health.next_due() == 0.5 + HOLDS[1]
    assert health.judge("a#gone", *WELL, 0.6)[0] == STATE_UNHEALTHY


@examples(2_000)
@given(st.lists(st.tuples(st.floats(0.01, 5.0), st.booleans()), max_size=400))
def test_a_flapping_target_rises_rarely(reports: list[tuple[float, bool]]) -> None:
    """However it flaps, in no window of 60 s does it come back more than three times; ill is never called well."""
    ward, now, rises = Ward(), 0.0, []
    before = ward.judge(WELL, now)
    for pause, well in reports:
        now += pause
        verdict = ward.judge(WELL if well else ILL, now)
        assert well or verdict == STATE_UNHEALTHY
        if verdict == STATE_ACTIVE != before:
            rises.append(now)
        before = verdict
    assert all(later - earlier >= 30.0 for earlier, later in zip(rises, rises[3:], strict=False))
