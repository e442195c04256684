"""Who waits for one model, and in which order they go."""

from __future__ import annotations

from collections import Counter

from hypothesis import strategies as st
from nexus_gateway.access import Share
from nexus_gateway.core.priority import Priority
from nexus_gateway.queues.fair_queue import URGENT_IN_ROW, FairQueue, Ticket
from support.properties import examples, given

HERE = frozenset({"here"})
A, B = Share("a"), Share("b")
LOW, NORMAL, HIGH = Priority.LOW, Priority.NORMAL, Priority.HIGH


def fill(queue: FairQueue[str], **counts: int) -> None:
    for tenant, count in counts.items():
        for number in range(count):
            queue.push(f"{tenant}{number}", Share(tenant), NORMAL, HERE)


def drain(queue: FairQueue[str], target: str = "here") -> list[str]:
    out: list[str] = []
    while (ticket := queue.next(target)) is not None:
        out.append(ticket.item)
    return out


def test_one_tenant_goes_in_the_order_it_came() -> None:
    queue = FairQueue[str]()
    fill(queue, a=5)
    assert drain(queue) == ["a0", "a1", "a2", "a3", "a4"]


def test_a_flood_does_not_delay_the_others() -> None:
    queue = FairQueue[str]()
    fill(queue, flood=200, b=3, c=3)
    order = drain(queue)
    assert Counter(each[0] for each in order[:9]) == {"f": 3, "b": 3, "c": 3}
    assert len(order) == 206


@examples(200)
@given(
    st.lists(st.sampled_from([1.0, 1.0, 2.0, 3.0, 10.0]), min_size=1, max_size=8),
    st.integers(1, 200),
)
def test_shares_are_by_weight_within_one_request(weights: list[float], rounds: int) -> None:
    tenants = [Share(f"t{place}", weight) for place, weight in enumerate(weights)]
    queue = FairQueue[Share]()
    for tenant in tenants * 2:
        queue.push(tenant, tenant, NORMAL, HERE)
    served = Counter[Share]()
    for turn in range(1, rounds + 1):
        ticket = queue.next("here")
        assert ticket is not None
        served[ticket.item] += 1
        queue.push(ticket.item, ticket.item, NORMAL, HERE)
        for tenant in tenants:
            assert abs(served[tenant] - turn * tenant.weight / sum(weights)) < 1 + 1e-6


def test_low_gets_less_and_never_nothing() -> None:
    queue = FairQueue[str]()
    for _ in range(300):
        queue.push("normal", A, NORMAL, HERE)
        queue.push("low", B, LOW, HERE)
    order = drain(queue)
    assert order[:8] == ["normal"] * 8
    assert abs(Counter(order[:270])["low"] - 30) <= 1


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_nobody_waits_for_ever_behind_the_more_urgent(high: int, normal: int, low: int) -> None:
    """The n-th of the others goes at the latest after n times the urgent ones that may go in a row."""
    queue = FairQueue[str]()
    for priority, count in ((HIGH, high), (NORMAL, normal), (LOW, low)):
        for number in range(count):
            queue.push(f"{priority.name}{number}", Share(priority.name), priority, HERE)
    order = drain(queue)
    assert len(order) == high + normal + low
    others = [place for place, each in enumerate(order) if not each.startswith("HIGH")]
    for number, place in enumerate(others, 1):
        assert place < number * (URGENT_IN_ROW + 1)
    if high and not others:
        assert order[0] == "HIGH0"


def test_only_those_a_target_can_serve_are_woken_for_it() -> None:
    queue = FairQueue[str]()
    queue.push("small", A, NORMAL, frozenset({"there"}))
    queue.push("any", A, NORMAL, frozenset({"here", "there"}))
    assert drain(queue, "here") == ["any"]
    assert drain(queue, "there") == ["small"]


def test_whoever_has_its_share_goes_only_when_nobody_else_wants_to() -> None:
    queue = FairQueue[str]()
    fill(queue, a=2, b=1)
    order = [queue.next("here", lambda tenant: tenant == A) for _ in range(3)]
    assert [ticket and ticket.item for ticket in order] == ["b0", "a0", "a1"]


def test_whoever_comes_back_keeps_its_place() -> None:
    queue = FairQueue[str]()
    fill(queue, a=2)
    queue.push("again", A, NORMAL, HERE, first=True)
    assert drain(queue) == ["again", "a0", "a1"]


def test_estimated_position() -> None:
    queue = FairQueue[str]()
    assert queue.position(A, NORMAL) == 1
    fill(queue, flood=100)
    assert queue.position(Share("flood"), NORMAL) == 101
    assert queue.position(B, NORMAL) == 2
    assert queue.position(Share("heavy", 4.0), NORMAL) == 1.25
    assert queue.position(Share("flood"), NORMAL, backlog=False) == 1
    queue.push("now", Share("operator"), HIGH, HERE)
    assert queue.position(Share("operator"), HIGH) == 2
    assert queue.position(B, NORMAL) == 3


def test_shares_of_the_queue_itself() -> None:
    queue = FairQueue[str]()
    heavy = Share("heavy", 2.0)
    fill(queue, a=6)
    for _ in range(3):
        queue.push("heavy", heavy, NORMAL, HERE)
    assert (queue.allowed(A, 9), queue.allowed(heavy, 9), queue.allowed(B, 8)) == (3, 6, 2)
    assert queue.newest_of_largest().item == "a5"


TENANTS = [A, B, Share("c", 2.0), Share("d", 0.5)]
PUSH = st.tuples(
    st.sampled_from(TENANTS), st.sampled_from(list(Priority)), st.sets(st.sampled_from("xyz"), min_size=1)
)


@examples(300)
@given(st.lists(st.one_of(PUSH, st.integers(0, 99), st.sampled_from("xyz")), max_size=80))
def test_whatever_happens_nothing_is_lost_and_nothing_is_left(
    steps: list[tuple[Share, Priority, set[str]] | int | str],
) -> None:
    """A push, a cancellation of the n-th, or a free place at a target."""
    queue = FairQueue[int]()
    waiting: dict[int, tuple[Ticket[int], set[str]]] = {}
    for number, step in enumerate(steps):
        if isinstance(step, tuple):
            tenant, priority, targets = step
            waiting[number] = queue.push(number, tenant, priority, frozenset(targets)), targets
        elif isinstance(step, int) and waiting:
            ticket, _ = waiting.pop(list(waiting)[step % len(waiting)])
            assert queue.remove(ticket)
            assert not queue.remove(ticket)
        elif isinstance(step, str):
            found = queue.next(step)
            can = [each for each, (_, targets) in waiting.items() if step in targets]
            assert (found is None) == (not can)
            if found is not None:
                assert found.item in can
                del waiting[found.item]
        assert len(queue) == len(waiting) == sum(queue.held(tenant) for tenant in TENANTS)
    for ticket, _ in waiting.values():
        queue.remove(ticket)
    assert (len(queue), list(queue.lanes())) == (0, [])
    assert queue.position(A, NORMAL) == 1
    assert queue.allowed(A, 10) == 10
