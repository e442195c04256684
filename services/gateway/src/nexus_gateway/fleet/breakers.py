"""Whoever fails gets nothing for a while. A verdict is filed under what caused it, and nothing else suffers for it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from nexus_routing import Offer

from nexus_gateway.fleet.breaker import LONGEST_PAUSE, Breaker, Outcome

__all__ = ["BAD", "Breakers", "Outcome", "Trial"]

SEVERAL = 3
"""Models of one backend that fail, to speak against the backend itself."""
TENANTS = 2
"""Who must have seen a model fail before others are kept from it: one tenant's prompts may be the reason."""
BAD = (Outcome.FAULT, Outcome.ODD, Outcome.GONE)
"""What a breaker is made for; good news of whom nothing is held against is none."""
NO_MODELS: Mapping[str, tuple[str, ...]] = {}

Key = tuple[str, str | None, str | None]
"""Target, model and tenant; None = all of them."""


@dataclass(slots=True, eq=False)
class Trial:
    """One request on a model of a target, for a tenant."""

    target: str
    model: str
    tenant: str

    @property
    def keys(self) -> tuple[Key, Key, Key]:
        """What it may speak of: the backend, the model there for all, the model there for its own tenant."""
        return (
            (self.target, None, None),
            (self.target, self.model, None),
            (self.target, self.model, self.tenant),
        )


class Breakers:
    """Only what failed lately is remembered. A model's last candidate is not passed over: the plan sees to that."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.held: dict[Key, Breaker] = {}
        """What failed lately. Mostly nothing: then only bad news are any, and nobody needs to ask."""
        self.pauses: dict[Offer, float] = {}
        """Until when whoever asked for it gets nothing; likewise."""

    @property
    def open(self) -> int:
        """How many have been ejected and not yet proved themselves."""
        return sum(breaker.until > 0 for breaker in self.held.values())

    def gone(self) -> dict[str, str]:
        """Targets that refused a connection lately, and why they get nothing now."""
        now = self._clock()
        return {
            target: "refused a connection; tried again in a moment"
            for (target, model, _), breaker in self.held.items()
            if model is None and breaker.is_open(now)
        }

    def ejected(self, tenant: str, models: Mapping[str, tuple[str, ...]] = NO_MODELS) -> dict[Offer, str]:
        """What a tenant is kept from now, and why. `models`: what each target offers."""
        now = self._clock()
        found = {
            (target, model): f"failed {max(1, breaker.failures(now))} times lately; tried again in a moment"
            for (target, model, whose), breaker in self.held.items()
            if model is not None and whose in (None, tenant) and breaker.is_open(now)
        }
        for target, count in Counter(target for target, _ in found).items():
            if count >= SEVERAL:
                for model in models.get(target, ()):
                    found.setdefault((target, model), f"failed with {count} other models lately")
        return found

    def paused(self) -> dict[Offer, str]:
        """What asked to get nothing now."""
        now = self._clock()
        self.pauses = {offer: until for offer, until in self.pauses.items() if until > now}
        return {
            offer: f"asked to be left alone for another {until - now:.0f} s"
            for offer, until in self.pauses.items()
        }

    def soonest(self, offers: Iterable[Offer]) -> float:
        """Seconds until the first of the offers may be tried again by everybody; 0 = now."""
        now = self._clock()
        moments = [
            max(self.pauses.get(offer, 0.0), self._until((offer[0], None, None)), self._until((*offer, None)))
            for offer in offers
        ]
        return max(0.0, min(moments, default=0.0) - now)

    def start(self, trial: Trial) -> None:
        """A request goes to a target. What becomes of it must be told, the last word by end()."""
        now = self._clock()
        for key in trial.keys:
            if (breaker := self.held.get(key)) is not None:
                breaker.start(trial, now)

    def judge(self, trial: Trial, outcome: Outcome) -> None:
        """How a request went, filed under each that it speaks of."""
        backend, everybody, own = trial.keys
        self._file(backend, trial, _of_the_backend(outcome))
        outcome = Outcome.NOTHING if outcome is Outcome.GONE else outcome
        self._file(everybody, trial, outcome, TENANTS)
        self._file(own, trial, outcome)

    def end(self, trial: Trial) -> None:
        """The request is over: if it was to prove something and did not, another may."""
        for key in trial.keys:
            self._file(key, trial, Outcome.NOTHING)

    def pause(self, offer: Offer, seconds: float) -> None:
        """It asked to be left alone for so long, at most a minute of which is granted."""
        self.pauses[offer] = self._clock() + min(seconds, LONGEST_PAUSE)

    def renew(self, targets: set[str]) -> None:
        """They were away and are back: what was held against them is over."""
        for key in [key for key in self.held if key[0] in targets]:
            del self.held[key]

    def retain(self, targets: set[str]) -> None:
        """Forgets whoever is not among the given, and what is long ago."""
        now = self._clock()
        for key in [key for key, each in self.held.items() if key[0] not in targets or each.is_idle(now)]:
            del self.held[key]
        for offer in [offer for offer in self.pauses if offer[0] not in targets]:
            del self.pauses[offer]

    def _file(self, key: Key, trial: Trial, outcome: Outcome, witnesses: int = 1) -> None:
        breaker = self.held.get(key)
        if breaker is None:
            if outcome not in BAD:
                return
            breaker = self.held[key] = Breaker(witnesses)
        now = self._clock()
        breaker.judge(trial, outcome, trial.tenant, now)
        if outcome is Outcome.SUCCESS and breaker.is_idle(now):
            del self.held[key]

    def _until(self, key: Key) -> float:
        breaker = self.held.get(key)
        return breaker.until if breaker else 0.0


def _of_the_backend(outcome: Outcome) -> Outcome:
    """What it says of the backend as such: whoever answers anything at all takes connections."""
    return outcome if outcome in (Outcome.GONE, Outcome.NOTHING) else Outcome.CONTENT
