"""What this gateway has under way at each target, and what it learnt of them by it."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterable

from nexus_mesh.errors import MeshError, Reason
from nexus_routing import Candidate, Conditions, Endpoint, Offer, State, Table

from nexus_gateway.breakers import Breakers, Outcome
from nexus_gateway.latencies import Latencies, Measure
from nexus_gateway.outcomes import TRANSPORT, outcome_of
from nexus_gateway.patience import Patience
from nexus_gateway.queueing.places import Places
from nexus_gateway.queueing.tenants import NOBODY, Tenant
from nexus_gateway.reachability import Reachability
from nexus_gateway.retries import RETRYABLE

__all__ = ["Ride", "Traffic"]

TROUBLED = 10.0
"""Seconds after a failure, of whatever kind, for which a target is not called well."""
FEW = 8
"""Running requests up to which a target of unknown capacity is called idle."""


class Traffic:
    """Running requests by target, and who is out of service by our own experience."""

    def __init__(
        self,
        reachability: Reachability,
        breakers: Breakers,
        places: Places | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.places = places or Places()
        self.active = self.places.active
        self.reachability = reachability
        self.breakers = breakers
        self.latencies = Latencies()
        self.patience = Patience()
        self._clock = clock
        self._models: dict[str, tuple[str, ...]] = {}
        self._away: set[str] = set()
        self._troubled: dict[Offer, float] = {}
        # Gateways that start together must not walk through the targets in step.
        self._turns = itertools.count(random.randrange(1 << 20))

    def conditions(self, tenant: Tenant) -> Conditions:
        """What a plan for a tenant has to know beyond the table."""
        return self._conditions(tenant, next(self._turns))

    def look(self, tenant: Tenant) -> Conditions:
        """The same for a question that takes no turn: asking does not change where the next request goes."""
        return self._conditions(tenant, 0)

    def soonest(self, offers: Iterable[Offer]) -> float:
        """Seconds until the first of the offers may be tried again, as far as we decide that; 0 = now."""
        return self.breakers.soonest(offers)

    def admits(self, candidate: Candidate, tenant: Tenant, *, last: bool = False) -> bool:
        """Whether a candidate planned a moment ago may still be tried. `last`: nobody else is left."""
        return candidate.id not in self.places.full and self.serves(candidate, tenant, last=last)

    def serves(self, candidate: Candidate, tenant: Tenant, *, last: bool = False) -> bool:
        """The same, had it a place."""
        offer = candidate.id, candidate.model.id
        return (
            self.is_there(candidate.id, candidate.endpoint)
            and offer not in self.breakers.paused()
            and (last or offer not in self.breakers.ejected(tenant.id, self._models))
        )

    def is_there(self, target: str, endpoint: Endpoint) -> bool:
        """Whether anything may be sent to a target now."""
        return endpoint not in self.reachability.unreachable and target not in self.breakers.gone()

    def is_spare(self, candidate: Candidate) -> bool:
        """Whether it is well and idle: then it can help out without anybody noticing."""
        since = self._troubled.get((candidate.id, candidate.model.id))
        if since is not None and self._clock() < since + TROUBLED:
            return False
        load, ours = candidate.target.load, self.active.get(candidate.id, 0)
        return max(load.active + load.queued, ours) < (max(1, load.capacity / 2) if load.capacity else FEW)

    def went(self, candidate: Candidate, error: MeshError | None) -> None:
        """How a request ended there, for whoever asks whether it is well."""
        offer = candidate.id, candidate.model.id
        if error is None:
            self._troubled.pop(offer, None)
        elif error.reason in RETRYABLE:
            self._troubled[offer] = self._clock()

    def retain(self, table: Table) -> None:
        """Forgets what is not in the table any more, and what is held against those that were away and are back."""
        endpoints: set[Endpoint] = {target.endpoint for target in table.targets}
        self.reachability.retain(endpoints)
        self._models = {target.id: tuple(model.id for model in target.models) for target in table.targets}
        targets = self._models.keys()
        away = {target.id for target in table.targets if target.state != State.ACTIVE}
        back = self._away & (targets - away)
        self._away = away
        self.breakers.renew(back)
        self.reachability.look_now(target.endpoint for target in table.targets if target.id in back)
        self.breakers.retain(set(targets))
        self.latencies.retain(table.offers, set(targets))
        self.patience.retain(set(targets))
        now = self._clock()
        self._troubled = {
            offer: since
            for offer, since in self._troubled.items()
            if offer[0] in targets and now < since + TROUBLED
        }

    def _conditions(self, tenant: Tenant, turn: int) -> Conditions:
        breakers = self.breakers
        return Conditions(
            active=self.active,
            unreachable=self.reachability.unreachable,
            gone=breakers.gone(),
            ejected=breakers.ejected(tenant.id, self._models),
            paused=breakers.paused(),
            slow=self.latencies.slow(),
            turn=turn,
        )


class Ride:
    """One request on one candidate: counted from here to close(). Of several ends the first is believed."""

    __slots__ = ("_candidate", "_closed", "_judged", "_number", "_tenant", "_traffic", "_trial")

    def __init__(self, traffic: Traffic, candidate: Candidate, tenant: Tenant = NOBODY) -> None:
        self._traffic = traffic
        self._candidate = candidate
        self._tenant = tenant
        self._judged = self._closed = False
        self._number = traffic.places.take(candidate, tenant)
        self._trial = traffic.breakers.start(candidate.id, candidate.model.id, tenant.id)

    def begin(self) -> None:
        """The answer has begun."""
        if not self._judged:
            self._traffic.breakers.judge(self._trial, Outcome.CONTENT)

    def succeed(self) -> None:
        if not self._judged:
            self._traffic.went(self._candidate, None)
            self._judge(Outcome.SUCCESS)

    def lose(self) -> None:
        """Somebody who was asked later was sooner."""
        self._judge(Outcome.ODD)

    def took(self, measure: Measure, seconds: float) -> None:
        """Tells how quick the target is."""
        candidate = self._candidate
        self._traffic.latencies.saw(candidate.model.id, measure, candidate.id, seconds)

    def fail(self, error: MeshError) -> None:
        """A lost connection speaks against the whole instance, anything else against the backend or its model."""
        if self._judged:
            return
        candidate = self._candidate
        self._traffic.went(candidate, error)
        if TRANSPORT in error.metadata:
            self._traffic.reachability.lose(candidate.endpoint, candidate.target.instance)
        elif error.reason is Reason.RATE_LIMIT and error.retry_after is not None:
            self._traffic.breakers.pause((candidate.id, candidate.model.id), error.retry_after)
        self._judge(outcome_of(error))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._traffic.breakers.end(self._trial)
        self._traffic.places.leave(self._candidate, self._tenant, self._number)

    def _judge(self, outcome: Outcome) -> None:
        if not self._judged:
            self._judged = True
            self._traffic.breakers.judge(self._trial, outcome)
