"""Bulkheads: how many requests of ours a target may have, from what it said and what is ours of that."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from nexus_gateway.access import Share
from nexus_gateway.fleet.bulkheads import Bulkheads
from nexus_routing import Candidate, Load, Requirements, Table, Target, plan
from support.properties import examples, given
from support.routing_targets import model, target

T = Share("t")


def box(capacity: int = 0, taken: int = 0, queued: int = 0) -> Target:
    return replace(target("box", model("m")), load=Load(taken, queued, capacity))


def candidate_of(table: Table) -> Candidate:
    return plan(table, Requirements(1, "m")).candidates[0]


def room(places: Bulkheads, candidate: Candidate) -> int:
    """How many more may go there; 1000 = any number."""
    taken: list[int] = []
    while candidate.id not in places.full and len(taken) < 1000:
        taken.append(places.take(candidate, T))
    for number in taken:
        places.leave(candidate, T, number)
    return len(taken)


def fresh(target: Target, assumed: int | None = None) -> tuple[Bulkheads, Candidate]:
    places, table = Bulkheads(bulkhead=assumed), Table([target])
    places.refresh(table)
    return places, candidate_of(table)


def test_as_many_as_it_has_places() -> None:
    assert [room(*fresh(box(capacity))) for capacity in (1, 4, 8, 16, 32, 100)] == [1, 4, 8, 16, 32, 100]


def test_unknown_capacity_has_no_end_unless_one_is_set() -> None:
    assert room(*fresh(box())) == 1000
    assert room(*fresh(box(), assumed=3)) == 3
    assert room(*fresh(box(5), assumed=3)) == 5


def test_what_others_run_is_theirs_but_half_is_anybodys() -> None:
    assert room(*fresh(box(4, taken=1))) == 3
    assert room(*fresh(box(4, taken=4))) == 2
    assert room(*fresh(box(1, taken=1, queued=2))) == 1


def test_our_own_requests_are_not_taken_for_those_of_others() -> None:
    places, candidate = fresh(box(4))
    began = [places.take(candidate, T) for _ in range(4)]
    for number in began:
        places.leave(candidate, T, number)
    # The target counted them while they ran; we hear of it when they are gone.
    places.refresh(Table([box(4, taken=4)]))
    assert room(places, candidate) == 4
    places.refresh(Table([box(4, taken=3)]))
    places.refresh(Table([box(4, taken=2)]))
    assert room(places, candidate) == 2


def test_full_until_somebody_leaves_or_it_grows() -> None:
    places, candidate = fresh(box(1))
    freed: list[str] = []
    places.freed = freed.append
    number = places.take(candidate, T)
    assert places.full == {candidate.id}
    places.refresh(Table([box(2)]))
    assert places.full == set()
    places.refresh(Table([box(1)]))
    assert places.full == {candidate.id}
    places.leave(candidate, T, number)
    assert (places.full, places.active, freed) == (set(), {}, []), "nobody waits"
    places.crowded["m"] = places.line("m")
    places.leave(candidate, T, places.take(candidate, T))
    assert freed == [candidate.id]


def test_what_is_gone_is_forgotten() -> None:
    places, candidate = fresh(box(1))
    number = places.take(candidate, T)
    places.refresh(Table([]))
    assert (places.full, places.target(candidate.id)) == (set(), None)
    assert places.lines["m"].running == 1
    places.leave(candidate, T, number)
    places.refresh(Table([]))
    assert (places.lines, places.active) == ({}, {})


@examples(2_000)
@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 120), st.integers(-5, 5)), max_size=30),
)
def test_nobody_is_ever_shut_out_and_nothing_overrun(
    capacity: int, reports: list[tuple[int, int, int]]
) -> None:
    places, candidate = fresh(box(capacity))
    running: list[int] = []
    for taken, queued, change in reports:
        places.refresh(Table([box(capacity, taken, queued)]))
        for _ in range(abs(change)):
            if change < 0 and running:
                places.leave(candidate, T, running.pop())
            elif change > 0 and candidate.id not in places.full:
                running.append(places.take(candidate, T))
        assert len(running) <= capacity
        assert bool(running) or candidate.id not in places.full
        assert places.active.get(candidate.id, 0) == len(running)
