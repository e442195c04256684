"""Who is slow: by comparison, for one model, and only for as long as that is known."""

from __future__ import annotations

import pytest
from nexus_gateway.fleet.latencies import FRESH, KNOWN, LOOK, Latencies, Measure

FIRST = Measure.FIRST_CONTENT


class Watched:
    def __init__(self) -> None:
        self.now = 1000.0
        self.latencies = Latencies(lambda: self.now)

    def saw(
        self, target: str, seconds: float, times: int = KNOWN, model: str = "m", measure: Measure = FIRST
    ) -> None:
        for _ in range(times):
            self.latencies.saw(model, measure, target, seconds)

    def slow(self, model: str = "m") -> dict[str, float]:
        self.now += LOOK
        return dict(self.latencies.slow().get(model, {}))


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_target_four_times_slower_seems_to_have_three_quarters_of_its_places_taken(
    watched: Watched,
) -> None:
    watched.saw("quick", 0.48)
    watched.saw("slow", 1.98)
    assert watched.slow() == {"slow": pytest.approx(0.75)}


def test_nobody_is_slow_alone(watched: Watched) -> None:
    watched.saw("only", 60.0)
    assert watched.slow() == {}


def test_a_little_slower_is_noise_and_so_are_milliseconds(watched: Watched) -> None:
    watched.saw("quick", 1.0)
    watched.saw("similar", 1.4)
    assert watched.slow() == {}
    watched.saw("a", 0.001, model="tiny")
    watched.saw("b", 0.009, model="tiny")
    assert watched.slow("tiny") == {}


def test_models_and_measures_are_compared_apart(watched: Watched) -> None:
    watched.saw("large", 4.0, model="70b")
    watched.saw("small", 0.1, model="8b")
    watched.saw("small", 0.01, measure=Measure.PER_TOKEN, model="70b")
    assert (watched.slow("70b"), watched.slow("8b")) == ({}, {})


def test_few_times_say_nothing(watched: Watched) -> None:
    watched.saw("quick", 0.1)
    watched.saw("slow", 5.0, times=KNOWN - 1)
    assert watched.slow() == {}


def test_a_slow_target_gets_another_chance_and_its_next_time_counts_alone(watched: Watched) -> None:
    watched.saw("quick", 0.1)
    watched.saw("slow", 5.0)
    assert watched.slow()
    watched.now += FRESH
    watched.saw("quick", 0.1)
    assert watched.slow() == {}
    watched.saw("slow", 0.1, times=1)
    assert watched.slow() == {}
    watched.saw("slow", 9.0, times=3)
    assert watched.slow()


def test_what_left_is_forgotten(watched: Watched) -> None:
    watched.saw("quick", 0.1)
    watched.saw("slow", 5.0)
    watched.latencies.retain(["m"], {"slow"})
    assert watched.slow() == {}
    watched.latencies.retain([], set())
    assert watched.latencies._means == {}  # pyright: ignore[reportPrivateUsage] - nothing may pile up
