"""How long a newcomer has to wait, from who runs since when and how long it took before."""

from __future__ import annotations

from nexus_gateway.access import Share
from nexus_gateway.core.priority import Priority
from nexus_gateway.fleet.bulkheads import ModelQueue

HERE = frozenset({"here"})
NORMAL = Priority.NORMAL
A, B = Share("a"), Share("b")


class Clocked:
    """A line of one tenant on a clock of its own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.line = ModelQueue[str]("m", lambda: self.now)

    def eta(self, tenant: Share = A) -> float | None:
        return self.line.eta(tenant, NORMAL)

    def queue(self, count: int, tenant: Share = A) -> None:
        for _ in range(count):
            self.line.queue.push("", tenant, NORMAL, HERE)

    def run_once(self, seconds: float) -> None:
        number = self.line.start(A)
        self.now += seconds
        self.line.end(A, number)


def test_nothing_is_known_before_the_first_has_ended() -> None:
    there = Clocked()
    assert there.eta() is None
    there.line.start(A)
    assert there.eta() is None


def test_one_place() -> None:
    there = Clocked()
    there.run_once(20)
    there.line.start(A)
    assert there.eta() == 20
    there.now += 5
    assert there.eta() == 15
    there.queue(1)
    assert there.eta() == 35
    there.now += 100  # this one takes longer than others did, nobody knows how long
    assert there.eta() == 30


def test_many_places_started_together_come_free_together() -> None:
    there = Clocked()
    there.run_once(10)
    for _ in range(10):
        there.line.start(A)
    there.queue(3)
    assert there.eta() == 10
    there.now += 9
    assert there.eta() == 3.5  # it is not believed that all of them end within a second
    there.queue(10)
    assert there.eta() == 13.5


def test_places_started_one_after_the_other_come_free_so() -> None:
    there = Clocked()
    there.run_once(10)
    for _ in range(10):
        there.line.start(A)
        there.now += 1
    assert there.eta() == 0.5
    there.queue(4)
    assert there.eta() == 4.5


def test_the_newest_count_more() -> None:
    there = Clocked()
    there.run_once(10)
    for _ in range(30):
        there.run_once(1)
    assert there.line.seconds is not None
    assert 1 < there.line.seconds < 1.5


def test_who_is_alone_and_who_has_its_share() -> None:
    there = Clocked()
    number = there.line.start(A)
    there.queue(2)
    assert there.line.is_alone(A)
    assert not there.line.is_alone(B)
    there.queue(1, B)
    assert not there.line.is_alone(A)
    there.line.start(B)
    assert there.line.has_its_share(A, 0.25)
    assert not there.line.has_its_share(A, 0.5)
    there.line.end(A, number)
    assert not there.line.has_its_share(A, 0.25)
    assert there.line.running == 1
