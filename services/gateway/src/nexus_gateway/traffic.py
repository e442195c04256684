"""What this gateway has under way at each target, and what it learnt of them by it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable

from nexus_mesh.errors import UNREACHED, MeshError, Reason
from nexus_routing import Candidate, Conditions, Endpoint, Table

from nexus_gateway.breakers import Breakers
from nexus_gateway.latencies import Latencies, Measure
from nexus_gateway.queueing.places import Places
from nexus_gateway.queueing.tenants import NOBODY, Tenant
from nexus_gateway.reachability import Reachability
from nexus_gateway.retries import BLAMES_TARGET

__all__ = ["TRANSPORT", "Ride", "Traffic"]

TRANSPORT = "transport"
"""Metadata key of an error that came from the connection, not from the service behind it."""


class Traffic:
    """Running requests by target, and who is out of service by our own experience."""

    def __init__(self, reachability: Reachability, breakers: Breakers, places: Places | None = None) -> None:
        self.places = places or Places()
        self.active = self.places.active
        self.reachability = reachability
        self.breakers = breakers
        self.latencies = Latencies()
        # Gateways that start together must not walk through the targets in step.
        self._turns = itertools.count(random.randrange(1 << 20))

    def conditions(self) -> Conditions:
        """What a plan has to know beyond the table."""
        return self._conditions(next(self._turns))

    def look(self) -> Conditions:
        """The same for a question that takes no turn: asking does not change where the next request goes."""
        return self._conditions(0)

    def soonest(self, targets: Iterable[str]) -> float:
        """Seconds until the first of the targets may be tried again, as far as we decide that; 0 = now."""
        return self.breakers.soonest(targets)

    def admits(self, candidate: Candidate) -> bool:
        """Whether a candidate planned a moment ago may still be tried."""
        return candidate.id not in self.places.full and self.is_in_service(candidate.id, candidate.endpoint)

    def is_in_service(self, target: str, endpoint: Endpoint) -> bool:
        """Whether anything may be sent to a target now."""
        return (
            endpoint not in self.reachability.unreachable
            and target not in self.breakers.ejected()
            and target not in self.breakers.paused()
        )

    def retain(self, table: Table) -> None:
        """Forgets what is not in the table any more."""
        endpoints: set[Endpoint] = {target.endpoint for target in table.targets}
        self.reachability.retain(endpoints)
        targets = {target.id for target in table.targets}
        self.breakers.retain(targets)
        self.latencies.retain(table.offers, targets)

    def _conditions(self, turn: int) -> Conditions:
        breakers = self.breakers
        return Conditions(
            active=self.active,
            unreachable=self.reachability.unreachable,
            ejected=breakers.ejected(),
            paused=breakers.paused(),
            slow=self.latencies.slow(),
            turn=turn,
        )


class Ride:
    """One request on one candidate: counted from here to close(). At most one verdict is kept, the first."""

    __slots__ = ("_candidate", "_closed", "_judged", "_number", "_proving", "_tenant", "_traffic")

    def __init__(self, traffic: Traffic, candidate: Candidate, tenant: Tenant = NOBODY) -> None:
        self._traffic = traffic
        self._candidate = candidate
        self._tenant = tenant
        self._judged = self._closed = False
        self._number = traffic.places.take(candidate, tenant)
        self._proving = traffic.breakers.start(candidate.id)

    def succeed(self) -> None:
        if not self._judged:
            self._judged = True
            self._traffic.breakers.succeed(self._candidate.id)

    def took(self, measure: Measure, seconds: float) -> None:
        """Tells how quick the target is."""
        candidate = self._candidate
        self._traffic.latencies.saw(candidate.model.id, measure, candidate.id, seconds)

    def fail(self, error: MeshError) -> None:
        """A lost connection speaks against the whole instance, a fault of the backend against the target."""
        if self._judged:
            return
        if TRANSPORT in error.metadata:
            self._traffic.reachability.lose(self._candidate.endpoint, self._candidate.target.instance)
        elif error.reason in BLAMES_TARGET:
            self._judged = True
            self._traffic.breakers.fail(self._candidate.id, gone=UNREACHED in error.metadata)
        elif error.reason is Reason.RATE_LIMIT and error.retry_after is not None:
            self._judged = True
            self._traffic.breakers.pause(self._candidate.id, error.retry_after)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._proving and not self._judged:
            self._traffic.breakers.abandon(self._candidate.id)
        self._traffic.places.leave(self._candidate, self._tenant, self._number)
