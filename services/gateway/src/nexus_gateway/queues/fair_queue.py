"""Those who wait for one model: urgent ones first, tenants by weight, each tenant's in the order they came."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from nexus_gateway.access import Share
from nexus_gateway.core import Priority
from nexus_gateway.queues.fair_order import FairOrder

__all__ = ["FairQueue", "Ticket"]

T = TypeVar("T")

Targets = frozenset[str]
FACTORS = {Priority.LOW: 1.0, Priority.NORMAL: 8.0, Priority.HIGH: 1.0}
"""What lowering costs. A tenant that sends all of its requests as low gets less, never more, than its share."""
URGENT_IN_ROW = 8
"""So many urgent ones may go first; then one of the others has its turn."""


@dataclass(slots=True, eq=False)
class Lane(Generic[T]):
    """The waiting of one tenant with one priority that can go to the same targets."""

    tenant: Share
    priority: Priority
    targets: Targets
    weight: float
    waiting: OrderedDict[Ticket[T], None] = field(default_factory=OrderedDict)
    start: float = 0.0
    due: float = 0.0
    number: int = 0

    @property
    def key(self) -> Hashable:
        return self.tenant, self.priority, self.targets


@dataclass(slots=True, eq=False)
class Ticket(Generic[T]):
    """One who waits. `lane` is None once it does not."""

    item: T
    lane: Lane[T] | None = None


class FairQueue(Generic[T]):
    """Pure. A ticket leaves by remove() or next(), and leaves nothing behind."""

    def __init__(self) -> None:
        self._urgent: FairOrder[Lane[T]] = FairOrder()
        self._others: FairOrder[Lane[T]] = FairOrder()
        self._lanes: dict[Hashable, Lane[T]] = {}
        self._tenants: dict[Share, OrderedDict[Ticket[T], None]] = {}
        self._length = self._urgent_length = self._in_row = 0
        self._tenant_weight = 0.0

    def __len__(self) -> int:
        return self._length

    def lanes(self) -> Iterator[Lane[T]]:
        yield from self._lanes.values()

    def held(self, tenant: Share) -> int:
        """How many of a tenant wait."""
        return len(self._tenants.get(tenant, ()))

    def push(
        self, item: T, tenant: Share, priority: Priority, targets: Targets, *, first: bool = False
    ) -> Ticket[T]:
        """`targets`: who could serve it. `first`: before the others of its lane."""
        lane = self._lane(tenant, priority, targets)
        ticket = Ticket(item, lane)
        lane.waiting[ticket] = None
        if first:
            lane.waiting.move_to_end(ticket, last=False)
        if tenant not in self._tenants:
            self._tenants[tenant] = OrderedDict()
            self._tenant_weight += tenant.weight
        self._tenants[tenant][ticket] = None
        self._length += 1
        self._urgent_length += priority is Priority.HIGH
        return ticket

    def remove(self, ticket: Ticket[T]) -> bool:
        """Whether it was still waiting."""
        lane = ticket.lane
        if lane is None:
            return False
        ticket.lane = None
        del lane.waiting[ticket]
        if not lane.waiting:
            self._order(lane.priority).leave(lane)
            del self._lanes[lane.key]
        tickets = self._tenants[lane.tenant]
        del tickets[ticket]
        if not tickets:
            del self._tenants[lane.tenant]
            self._tenant_weight -= lane.tenant.weight
        self._length -= 1
        self._urgent_length -= lane.priority is Priority.HIGH
        return True

    def next(self, target: str, spared: Callable[[Share], bool] = lambda _: False) -> Ticket[T] | None:
        """Takes out whose turn it is at a target; tenants that are `spared` only when no other wants it."""
        urgent_may = self._in_row < URGENT_IN_ROW
        orders = (self._urgent, self._others) if urgent_may else (self._others, self._urgent)
        for order in orders:
            lane = order.pick(lambda lane: target in lane.targets, lambda lane: spared(lane.tenant))
            if lane is not None:
                self._in_row = self._in_row + 1 if order is self._urgent and self._others else 0
                ticket = next(iter(lane.waiting))
                self.remove(ticket)
                return ticket
        return None

    def position(self, tenant: Share, priority: Priority, *, backlog: bool = True) -> float:
        """About which one a newcomer would be; without its tenant's `backlog`, were it the tenant's only one."""
        if priority is Priority.HIGH:
            return self._urgent_length + 1
        weight = tenant.weight * FACTORS[priority]
        own = self.held(tenant) if backlog else 0
        lanes = self._others.weight + (0.0 if tenant in self._tenants else weight)
        others = self._length - self._urgent_length
        return self._urgent_length + min(others + 1.0, (own + 1) * lanes / weight)

    def allowed(self, tenant: Share, length: int) -> float:
        """A tenant's share of a queue of that length, among those who wait and itself."""
        weight = tenant.weight
        total = self._tenant_weight + (0.0 if tenant in self._tenants else weight)
        return max(1.0, length * weight / total)

    def newest_of_largest(self) -> Ticket[T]:
        """The last that came of the tenant which waits with most for its weight. The queue must not be empty."""
        tenant = max(self._tenants, key=lambda each: len(self._tenants[each]) / each.weight)
        return next(reversed(self._tenants[tenant]))

    def _lane(self, tenant: Share, priority: Priority, targets: Targets) -> Lane[T]:
        key = (tenant, priority, targets)
        lane = self._lanes.get(key)
        if lane is None:
            lane = Lane[T](tenant, priority, targets, tenant.weight * FACTORS[priority])
            self._lanes[key] = lane
            self._order(priority).join(lane, last=priority is Priority.LOW)
        return lane

    def _order(self, priority: Priority) -> FairOrder[Lane[T]]:
        return self._urgent if priority is Priority.HIGH else self._others
