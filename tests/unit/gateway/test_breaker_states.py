"""Whatever happens in whatever order: nobody healthy is left out for good, and nobody is asked who must not be."""

from __future__ import annotations

import asyncio

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from nexus_gateway.access import Share
from nexus_gateway.fleet.breaker import FIRST_PAUSE, GONE_PAUSE, JITTER, LONGEST_PAUSE
from nexus_gateway.fleet.breakers import Breakers
from nexus_gateway.fleet.connections import Reachability
from nexus_gateway.fleet.traffic import Attempt, Traffic
from nexus_mesh.core.errors import UNREACHED, MeshError, Reason
from nexus_routing import Candidate, Model, Operation, Plan, Requirements, State, Table, Target, plan
from support.properties import examples

MODELS = {"a": "mnop", "b": "mn", "c": "m"}
"""What each target offers: one model has three places to go to, two have one only."""
TENANTS = (Share("x"), Share("y"))
WINDOW = LONGEST_PAUSE * (1 + JITTER) + FIRST_PAUSE
"""Nothing is held off for longer than the longest pause and one proof that never ends."""

REFUSED = MeshError(Reason.BACKEND_DOWN, "refused", metadata={UNREACHED: "1"})
ERRORS = {
    "4xx": MeshError(Reason.INVALID_REQUEST, "it says no"),
    "too long": MeshError(Reason.CONTEXT_LENGTH, "it says no"),
    "429": MeshError(Reason.RATE_LIMIT, "it is busy"),
    "429 with Retry-After": MeshError(Reason.RATE_LIMIT, "it is busy", retry_after=7.0),
    "503 busy": MeshError(Reason.OVERLOAD, "it is busy", retry_after=1.0),
    "5xx": MeshError(Reason.UPSTREAM_ERROR, "it failed"),
    "malformed": MeshError(Reason.UPSTREAM_MALFORMED, "it made no sense"),
    "silence": MeshError(Reason.STREAM_IDLE_TIMEOUT, "it said nothing"),
    "reset": MeshError(Reason.BACKEND_LOST, "it hung up"),
    "refused": REFUSED,
    "drain": MeshError(Reason.DRAINING, "it shuts down"),
    "timeout": MeshError(Reason.TIMEOUT, "too late"),
}
OUTCOMES = st.sampled_from([*ERRORS, "success", "cancel", "late"])


def _target(name: str, models: str) -> Target:
    offers = tuple(Model(model, frozenset({Operation.CHAT}), loaded=True) for model in models)
    return Target(
        f"n/adapter/{name}#{name}", f"n/adapter/{name}", name, name, name, "x", offers, State.ACTIVE
    )


async def _never(_: object) -> bool:
    return False


class Outcomes(RuleBasedStateMachine):
    """One gateway's requests on three backends, for two tenants, some of them under way for long."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.table = Table([_target(name, models) for name, models in MODELS.items()])
        reachability = Reachability(_never, asyncio.create_task)  # type: ignore[arg-type]
        self.traffic = Traffic(reachability, Breakers(lambda: self.now), clock=lambda: self.now)
        self.traffic.retain(self.table)
        self.under_way: list[tuple[Candidate, Attempt]] = []
        self.refused: dict[str, float] = {}

    def plan(self, model: str, tenant: Share) -> Plan:
        return plan(self.table, Requirements(Operation.CHAT, model), self.traffic.conditions(tenant), 9)

    def end(self, candidate: Candidate, attempt: Attempt, outcome: str, *, streamed: bool) -> None:
        if streamed:
            attempt.begin()
        if outcome == "success":
            attempt.succeed()
        elif outcome == "late":
            attempt.lose()
        elif outcome in ERRORS:
            attempt.fail(ERRORS[outcome])
        if outcome == "refused":
            self.refused[candidate.id] = self.now
        attempt.close()

    @rule(
        model=st.sampled_from("mnop"),
        tenant=st.sampled_from(TENANTS),
        outcome=OUTCOMES,
        streamed=st.booleans(),
        times=st.sampled_from([1, 1, 1, 5, 20]),
        later=st.booleans(),
    )
    def ask(
        self, model: str, tenant: Share, outcome: str, *, streamed: bool, times: int, later: bool
    ) -> None:
        for _ in range(times):
            planned = self.plan(model, tenant)
            for candidate in planned.candidates[:1]:
                assert self.traffic.admits(candidate, tenant, last=planned.last)
                assert self.now >= self.refused.get(candidate.id, 0.0) + GONE_PAUSE * (1 - JITTER)
                attempt = Attempt(self.traffic, candidate, tenant)
                if later:
                    self.under_way.append((candidate, attempt))
                else:
                    self.end(candidate, attempt, outcome, streamed=streamed)

    @rule(data=st.data(), outcome=OUTCOMES, streamed=st.booleans())
    def finish(self, data: st.DataObject, outcome: str, *, streamed: bool) -> None:
        if self.under_way:
            number = data.draw(st.integers(0, len(self.under_way) - 1))
            self.end(*self.under_way.pop(number), outcome, streamed=streamed)

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.0, 3.0, 6.0, 20.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.traffic.retain(self.table)

    @rule()
    def heal(self) -> None:
        """All are healthy from now on; what is under way stays so. Each is asked again, and is then as new."""
        self.now += WINDOW
        for tenant in TENANTS:
            for model in "mnop":
                offering = {each.id for each, _ in self.table.offers[model]}
                planned = self.plan(model, tenant)
                assert {each.id for each in planned.candidates} == offering
                assert not planned.last
                for candidate in planned.candidates:
                    attempt = Attempt(self.traffic, candidate, tenant)
                    attempt.succeed()
                    attempt.close()
                assert {each.id for each in self.plan(model, tenant).candidates} == offering

    @invariant()
    def nobody_is_refused_for_failures(self) -> None:
        """The last one is asked, unless it refused a connection or asked to be left alone."""
        gone, paused = self.traffic.breakers.gone(), self.traffic.breakers.paused()
        for tenant in TENANTS:
            for model in "mnop":
                offering = {each.id for each, _ in self.table.offers[model]}
                out = {each for each in offering if each in gone or (each, model) in paused}
                assert bool(self.plan(model, tenant).candidates) == (out != offering)


Outcomes.TestCase.settings = examples(150, steps=40)
TestOutcomes = Outcomes.TestCase
TestOutcomes.__doc__ = """B1, B2, A10: over all sequences of outcomes, whole and streamed."""
