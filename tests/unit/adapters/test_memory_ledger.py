"""The book of one device: whose turn it is, and what is never done."""

from __future__ import annotations

import itertools

import pytest
from nexus_inference_adapters.host.memory.ledger import MemoryLedger
from nexus_inference_adapters.host.memory.types import Device, Key, Rules, State

from bench.tenants import CARD, GB, RESIDENCY, TENANTS, Simulation

A, B, C = Key("one", "a"), Key("two", "b"), Key("one", "c")


def ledger(gigabytes: int = 24, **rules: float) -> MemoryLedger:
    return MemoryLedger(
        Device("gpu0", gigabytes * GB), Rules(**{"min_residency": 60.0, "idle_unload": 0.0, **rules})
    )


def load(ledger: MemoryLedger, key: Key, size: int, now: float) -> None:
    """As an engine does: one request asks, the model is loaded at once, the request ends."""
    ledger.wait(key, size * GB, now)
    assert ledger.advance(now).load == [key]
    ledger.ready(key, now)
    assert ledger.advance(now).admit == [key]
    ledger.leave(key, now)


@pytest.mark.parametrize("seed", range(4))
def test_three_tenants_of_one_card_for_six_hours(seed: int) -> None:
    simulation = Simulation(seed=seed)
    simulation.run(TENANTS, 6 * 3600.0, prewarm=TENANTS[:1])
    gaps = [later - earlier for earlier, later in itertools.pairwise(simulation.swaps)]
    assert simulation.most_reserved <= CARD
    assert simulation.taken_in_use == 0
    assert min(gaps) >= RESIDENCY
    assert all(simulation.served[tenant.name] > 100 for tenant in TENANTS)
    assert not simulation.given_up


def test_prewarming_everything_takes_nothing_from_anybody() -> None:
    simulation = Simulation()
    simulation.run(TENANTS[:2], 3600.0, prewarm=TENANTS)
    assert simulation.swaps == []
    assert TENANTS[2].key not in simulation.ledger.holds
    assert simulation.taken_in_use == 0
    assert simulation.most_reserved <= CARD


def test_who_does_not_fit_waits_for_the_end_of_the_residency() -> None:
    book = ledger()
    load(book, A, 14, 0.0)
    load(book, B, 10, 10.0)
    book.wait(C, 9 * GB, 20.0)
    assert book.advance(20.0).unload == []
    assert book.eta(C, 9 * GB, 20.0) == pytest.approx(40 + 9 * GB / 1e9)
    assert book.advance(60.0).unload == [A]
    assert book.advance(60.0).load == [], "its memory is not free yet"
    book.gone(A, 61.0)
    assert book.advance(61.0).load == [C]


def test_who_is_in_use_is_waited_for_and_lets_nobody_in_meanwhile() -> None:
    book = ledger()
    load(book, A, 20, 0.0)
    assert book.enter(A, 70.0)
    book.wait(B, 10 * GB, 80.0)
    assert book.advance(80.0).unload == []
    assert not book.enter(A, 81.0), "its turn is over"
    assert book.leave(A, 90.0, 20.0)
    assert book.advance(90.0).unload == [A]


def test_who_stops_waiting_gives_its_turn_back() -> None:
    book = ledger()
    load(book, A, 20, 0.0)
    assert book.enter(A, 70.0)
    book.wait(B, 10 * GB, 80.0)
    book.advance(80.0)
    book.give_up(B, 85.0)
    assert book.enter(A, 86.0)


def test_a_small_model_goes_first_only_if_that_delays_nobody() -> None:
    book = ledger()
    load(book, A, 14, 0.0)
    load(book, B, 5, 30.0)  # 5 are free
    book.wait(C, 19 * GB, 40.0)  # needs A's, from 60 on
    small, tiny = Key("two", "small"), Key("two", "tiny")
    book.wait(small, 4 * GB, 41.0)
    assert book.advance(41.0).load == [], "C would need B's memory too, which is free 30 s later"
    book.give_up(C, 42.0)
    assert book.advance(42.0).load == [small]
    book.wait(C, 20 * GB, 43.0)
    book.wait(tiny, GB, 44.0)
    assert book.advance(44.0).load == [], "it has use for the last byte"


def test_one_swap_is_over_before_the_next_begins() -> None:
    book = ledger()
    load(book, A, 14, 0.0)
    load(book, B, 10, 0.0)
    book.wait(C, 9 * GB, 100.0)
    assert book.advance(100.0).unload == [A]
    book.gone(A, 100.0)
    assert book.advance(100.0).load == [C]
    book.wait(A, 14 * GB, 101.0)
    book.ready(C, 105.0)
    assert book.advance(110.0).unload == []
    assert book.advance(164.0).unload == []
    assert book.advance(165.0).unload == [B]
    assert book.swaps == 2


def test_an_idle_model_leaves_after_a_time_unless_it_is_to_stay() -> None:
    book = ledger(idle_unload=300.0)
    load(book, A, 10, 0.0)
    assert book.prewarm(B, 5 * GB, 0.0)
    book.ready(B, 1.0)
    assert book.advance(299.0).unload == []
    assert book.advance(300.0).unload == [A]
    assert book.advance(10_000.0).unload == []


def test_a_model_that_cannot_be_unloaded_stays_in_the_book() -> None:
    book = ledger()
    load(book, A, 20, 0.0)
    book.wait(B, 10 * GB, 70.0)
    assert book.advance(70.0).unload == [A]
    book.stayed(A, 71.0)
    assert book.advance(72.0).unload == []
    assert book.holds[A].size == 20 * GB
    assert book.advance(76.0).unload == [A], "tried again"


def test_a_model_that_cannot_be_loaded_holds_nothing() -> None:
    book = ledger()
    book.wait(A, 20 * GB, 0.0)
    assert book.advance(0.0).load == [A]
    book.failed(A, 1.0)
    assert (book.reserved, book.claims) == (0, {})


def test_engines_are_believed_about_what_is_in_memory() -> None:
    book = ledger()
    load(book, A, 14, 10.0)
    book.observe("one", {}, as_of=9.0, now=11.0)
    assert A in book.holds, "the look was taken before it was loaded"
    book.observe("one", {"a": 15 * GB, "c": 4 * GB}, as_of=20.0, now=20.0)
    assert (book.holds[A].size, book.holds[C].size) == (15 * GB, 4 * GB)
    assert book.enter(A, 21.0)
    book.observe("one", {}, as_of=22.0, now=22.0)
    assert set(book.holds) == {A}, "what is in use stays, whatever the engine says"


def test_memory_that_nobody_can_free_is_waited_for_in_vain() -> None:
    book = ledger()
    book.observe("two", {"b": 20 * GB}, as_of=0.0, now=0.0, pinned={"b"})
    assert book.eta(A, 10 * GB, 0.0) == float("inf")
    assert not book.take_out(B, 0.0)
    assert book.eta(A, 4 * GB, 0.0) < 10


def test_what_is_in_use_is_not_taken_out_for_anybody() -> None:
    book = ledger()
    load(book, A, 14, 0.0)
    assert book.enter(A, 1.0)
    assert not book.take_out(A, 2.0)
    book.leave(A, 3.0)
    assert book.take_out(A, 3.0)
    assert book.holds[A].state is State.UNLOADING
