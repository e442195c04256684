"""Slots for connections: the longest idle one of whoever holds most makes room, and an address has a share."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from nexus_gateway.http.connections import LEAST_SPARE, Idle, Slots

pytestmark = pytest.mark.security
LOOPBACK = "127.0.0.1"


class Held:
    """As a connection does, it keeps itself among the idle ones."""

    def __init__(self, slots: Slots, address: str) -> None:
        self.evicted = False
        idle = slots.enter(address, self)
        self.roomy = idle is not None
        self._idle: Idle = OrderedDict() if idle is None else idle

    def busy(self) -> None:
        self._idle.pop(self, None)

    def idle(self) -> None:
        self._idle[self] = None

    def evict(self) -> None:
        self.evicted = True
        self._idle = OrderedDict()


def fill(slots: Slots, address: str, count: int, *, busy: bool = False) -> list[Held]:
    """So many new connections that have a slot, and go on having it."""
    held: list[Held] = []
    for _ in range(count):
        one = Held(slots, address)
        assert one.roomy
        if busy:
            one.busy()
        held.append(one)
    return held


def enter(slots: Slots, address: str) -> tuple[bool, Held]:
    one = Held(slots, address)
    return one.roomy, one


def test_the_longest_idle_goes() -> None:
    """A9: on loopback all share one address, and have no share of it."""
    slots = Slots(4, 0.25)
    first, second, *_ = fill(slots, LOOPBACK, 4)
    first.busy()
    first.idle()
    assert enter(slots, LOOPBACK)[0]
    assert (first.evicted, second.evicted) == (False, True)


def test_a_request_under_way_is_never_cut() -> None:
    slots = Slots(3, 1)
    held = fill(slots, LOOPBACK, 3, busy=True)
    roomy, refused = enter(slots, LOOPBACK)
    assert not roomy
    assert not any(one.evicted for one in held)
    slots.leave(LOOPBACK, refused)
    slots.leave(LOOPBACK, held[0])
    assert enter(slots, LOOPBACK)[0]


def test_who_holds_most_makes_room() -> None:
    slots = Slots(8, 1)
    mine = fill(slots, "10.0.0.1", 2)
    theirs = fill(slots, "10.0.0.2", 6)
    for _ in range(3):
        assert enter(slots, "10.0.0.3")[0]
    assert not any(one.evicted for one in mine)
    assert [one.evicted for one in theirs] == [True] * 3 + [False] * 3


def test_an_address_has_a_share() -> None:
    """A9: over it its own idle connections go, and without any it is refused while others still get in."""
    slots = Slots(8, 0.25)
    held = fill(slots, "10.0.0.2", 2)
    assert enter(slots, "10.0.0.2")[0]
    assert held[0].evicted
    busy = Slots(8, 0.25)
    fill(busy, "10.0.0.2", 2, busy=True)
    assert not enter(busy, "10.0.0.2")[0]
    assert enter(busy, "10.0.0.3")[0]


def test_even_refusals_are_not_without_end() -> None:
    slots = Slots(8, 1)
    fill(slots, LOOPBACK, 8, busy=True)
    for _ in range(LEAST_SPARE):
        roomy, _ = enter(slots, LOOPBACK)
        assert (roomy, slots.crowded) == (False, False)
    assert not enter(slots, LOOPBACK)[0]
    assert slots.crowded


def test_who_was_evicted_holds_nothing_while_it_is_being_closed() -> None:
    """A burst of new connections comes before the first old one is gone."""
    slots = Slots(4, 1)
    held = fill(slots, LOOPBACK, 4)
    fresh = [enter(slots, LOOPBACK) for _ in range(4)]
    assert slots.held == 4
    assert all(roomy for roomy, _ in fresh)
    for one in held:
        one.busy()
        one.idle()
        slots.leave(LOOPBACK, one)
    assert slots.held == 4


def test_nothing_is_remembered_of_who_has_left() -> None:
    slots = Slots(8, 1)
    for address in ("10.0.0.1", "10.0.0.2"):
        for one in fill(slots, address, 4):
            slots.leave(address, one)
    assert slots.held == 0
    assert not slots._addresses
