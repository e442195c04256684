"""What this gateway has under way at each target, and what it learnt of them by it."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable, Container, Iterable

from nexus_mesh.core import MeshError, Reason
from nexus_routing import Candidate, Conditions, Endpoint, Offer, State, Table

from nexus_gateway.access import NOBODY, Share
from nexus_gateway.fleet.breakers import BAD, Breakers, Outcome, Trial
from nexus_gateway.fleet.bulkheads import Bulkheads
from nexus_gateway.fleet.connections import Reachability
from nexus_gateway.fleet.latencies import Latencies, Measure, Patience
from nexus_gateway.fleet.outcomes import RETRYABLE, TRANSPORT, outcome_of

__all__ = ["Attempt", "Traffic"]

TROUBLED = 10.0
"""Seconds after a failure, of whatever kind, for which a target is not called well."""
FEW = 8
"""Running requests up to which a target of unknown capacity is called idle."""
ON_TRUST = 32
"""The same, up to which one that has not answered lately gets what failed elsewhere."""


class Traffic:
    """Running requests by target, and who is out of service by our own experience."""

    def __init__(
        self,
        reachability: Reachability,
        breakers: Breakers,
        places: Bulkheads[object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.places: Bulkheads[object] = places or Bulkheads()
        self.active = self.places.active
        self.reachability = reachability
        self.breakers = breakers
        self.latencies = Latencies()
        self.patience = Patience()
        self._clock = clock
        self._models: dict[str, tuple[str, ...]] = {}
        self._away: set[str] = set()
        self._troubled: dict[Offer, float] = {}
        self._proved: dict[Offer, float] = {}
        # Gateways that start together must not walk through the targets in step.
        self._turns = itertools.count(random.randrange(1 << 20))

    def conditions(self, tenant: Share) -> Conditions:
        """What a plan for a tenant has to know beyond the table."""
        return self._conditions(tenant, next(self._turns))

    def look(self, tenant: Share) -> Conditions:
        """The same for a question that takes no turn: asking does not change where the next request goes."""
        return self._conditions(tenant, 0)

    def soonest(self, offers: Iterable[Offer]) -> float:
        """Seconds until the first of the offers may be tried again, as far as we decide that; 0 = now."""
        return self.breakers.soonest(offers)

    def admits(self, candidate: Candidate, tenant: Share, *, last: bool = False) -> bool:
        """Whether a candidate planned a moment ago may still be tried. `last`: nobody else is left."""
        return candidate.id not in self.places.full and self.serves(candidate, tenant, last=last)

    def serves(self, candidate: Candidate, tenant: Share, *, last: bool = False) -> bool:
        """The same, had it a place."""
        if not self.is_there(candidate.id, candidate.endpoint):
            return False
        offer, breakers = _offer(candidate), self.breakers
        if breakers.pauses and offer in breakers.paused():
            return False
        return last or not breakers.held or offer not in breakers.ejected(tenant.id, self._models)

    def is_there(self, target: str, endpoint: Endpoint) -> bool:
        """Whether anything may be sent to a target now."""
        if endpoint in self.reachability.unreachable:
            return False
        return not self.breakers.held or target not in self.breakers.gone()

    def can_help(self, candidate: Candidate) -> bool:
        """Whether what failed elsewhere may go there without further ado: it is well, and not known to be full.

        Whoever has not answered lately is trusted with a number: if all fail at once, nobody knows it yet.
        """
        running, capacity = self._load(candidate)
        if not self._is_well(candidate) or (capacity and running >= capacity):
            return False
        return running < ON_TRUST or self._clock() < self._proved.get(_offer(candidate), -math.inf) + TROUBLED

    def is_spare(self, candidate: Candidate) -> bool:
        """Whether it is well and idle: then it may be asked the same beside another one without anybody noticing."""
        running, capacity = self._load(candidate)
        return self._is_well(candidate) and running < (max(1, capacity / 2) if capacity else FEW)

    def went(self, candidate: Candidate, error: MeshError | None) -> None:
        """How a request ended there, for whoever asks whether it is well."""
        offer = _offer(candidate)
        if error is None:
            self._troubled.pop(offer, None)
            self.answers(candidate)
        elif error.reason in RETRYABLE:
            self._troubled[offer] = self._clock()

    def answers(self, candidate: Candidate) -> None:
        """An answer has begun there, at least."""
        self._proved[_offer(candidate)] = self._clock()

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
        self._troubled = self._recent(self._troubled, targets)
        self._proved = self._recent(self._proved, targets)

    def _recent(self, moments: dict[Offer, float], targets: Container[str]) -> dict[Offer, float]:
        now = self._clock()
        return {
            offer: since for offer, since in moments.items() if offer[0] in targets and now < since + TROUBLED
        }

    def _is_well(self, candidate: Candidate) -> bool:
        return self._clock() >= self._troubled.get(_offer(candidate), -math.inf) + TROUBLED

    def _load(self, candidate: Candidate) -> tuple[int, int]:
        """What it runs, and its places; by the newest table, for the one it was planned on may be a minute old.

        Its own word may be old, and we know of nobody else: the larger number is believed.
        """
        load = (self.places.target(candidate.id) or candidate.target).load
        return max(load.active + load.queued, self.active.get(candidate.id, 0)), load.capacity

    def _conditions(self, tenant: Share, turn: int) -> Conditions:
        breakers = self.breakers
        held = breakers.held
        return Conditions(
            active=self.active,
            unreachable=self.reachability.unreachable,
            gone=breakers.gone() if held else {},
            ejected=breakers.ejected(tenant.id, self._models) if held else {},
            paused=breakers.paused() if breakers.pauses else {},
            slow=self.latencies.slow(),
            turn=turn,
        )


class Attempt:
    """One request on one candidate: counted from here to close(). Of several ends the first is believed."""

    __slots__ = ("_candidate", "_closed", "_judged", "_number", "_tenant", "_traffic", "_trial")

    def __init__(self, traffic: Traffic, candidate: Candidate, tenant: Share = NOBODY) -> None:
        self._traffic = traffic
        self._candidate = candidate
        self._tenant = tenant
        self._judged = self._closed = False
        self._number = traffic.places.take(candidate, tenant)
        self._trial = Trial(candidate.id, candidate.model.id, tenant.id)
        if traffic.breakers.held:
            traffic.breakers.start(self._trial)

    def begin(self) -> None:
        """The answer has begun."""
        if not self._judged:
            self._traffic.answers(self._candidate)
            self._tell(Outcome.CONTENT)

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
            self._traffic.breakers.pause(_offer(candidate), error.retry_after)
        self._judge(outcome_of(error))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._traffic.breakers.held:
            self._traffic.breakers.end(self._trial)
        self._traffic.places.leave(self._candidate, self._tenant, self._number)

    def _judge(self, outcome: Outcome) -> None:
        if not self._judged:
            self._judged = True
            self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        """Good news of whom nothing is held against are none."""
        breakers = self._traffic.breakers
        if breakers.held or outcome in BAD:
            breakers.judge(self._trial, outcome)


def _offer(candidate: Candidate) -> Offer:
    return candidate.id, candidate.model.id
