"""Turns by weight: nobody is ever a whole turn ahead or behind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import strategies as st
from nexus_gateway.queues.fair_order import FairOrder
from support.properties import examples, given


@dataclass(eq=False)
class Flow:
    key: str
    weight: float
    start: float = 0.0
    due: float = 0.0
    number: int = 0


WEIGHTS = st.lists(st.sampled_from([0.5, 1.0, 1.0, 2.0, 3.0, 7.5, 20.0]), min_size=1, max_size=12)


def order_of(weights: list[float]) -> tuple[FairOrder[Flow], list[Flow]]:
    order, flows = FairOrder[Flow](), [Flow(str(place), weight) for place, weight in enumerate(weights)]
    for flow in flows:
        order.join(flow)
    return order, flows


def pick(order: FairOrder[Flow]) -> Flow:
    chosen = order.pick(lambda _: True, lambda _: False)
    assert chosen is not None
    return chosen


@examples(300)
@given(WEIGHTS, st.integers(1, 300))
def test_after_every_turn_everybody_is_within_one_of_its_share(weights: list[float], turns: int) -> None:
    order, flows = order_of(weights)
    served = Counter[str]()
    for turn in range(1, turns + 1):
        served[pick(order).key] += 1
        for flow in flows:
            assert abs(served[flow.key] - turn * flow.weight / sum(weights)) < 1 + 1e-6


def test_one_heavy_among_many_light_does_not_go_first_all_the_time() -> None:
    order, _ = order_of([100.0] + [1.0] * 100)
    first = Counter(pick(order).key for _ in range(100))
    assert first["0"] in (50, 51)


@examples(200)
@given(WEIGHTS, st.lists(st.integers(0, 11), max_size=60), st.data())
def test_whoever_comes_and_goes_leaves_nothing_and_gains_nothing(
    weights: list[float], moves: list[int], data: st.DataObject
) -> None:
    order, flows = order_of([*weights, 1.0])
    faithful, rest = flows[-1], flows[:-1]
    inside = set(flows)
    mine, turns = 0, 0
    for move in moves:
        flow = rest[move % len(rest)]
        (order.leave if flow in inside else order.join)(flow)
        inside ^= {flow}
        for _ in range(data.draw(st.integers(0, 3))):
            mine += pick(order) is faithful
            turns += 1
    # However the others come and go, the one that stays gets what it would get of all of them together.
    assert mine >= turns / sum([*weights, 1.0]) - 2
    for flow in inside:
        order.leave(flow)
    assert (len(order), order.weight, list(order)) == (0, 0.0, [])


def test_a_pause_between_turns_is_no_way_to_get_more() -> None:
    order, (steady, restless) = order_of([1.0, 1.0])
    served = Counter[str]()
    for _ in range(100):
        chosen = pick(order)
        served[chosen.key] += 1
        if chosen is restless:
            order.leave(restless)
            order.join(restless)
    assert abs(served[steady.key] - served[restless.key]) <= 1


def test_only_the_wanted_are_picked_and_the_spared_last() -> None:
    order, (first, second, third) = order_of([5.0, 1.0, 1.0])
    assert order.pick(lambda flow: flow is third, lambda _: False) is third
    assert order.pick(lambda flow: flow is not third, lambda flow: flow is first) is second
    assert order.pick(lambda flow: flow is first, lambda flow: flow is first) is first
    assert order.pick(lambda _: False, lambda _: False) is None


def test_whoever_was_spared_does_not_save_turns_up() -> None:
    order, (spared, other) = order_of([1.0, 1.0])
    for _ in range(50):
        assert order.pick(lambda _: True, lambda flow: flow is spared) is other
    after = Counter(pick(order).key for _ in range(20))
    assert abs(after[spared.key] - after[other.key]) <= 2
