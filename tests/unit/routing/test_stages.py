"""STAGES is what runs: each stage alone keeps a target out, says so, and a new one is a rule from its first day."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import strategies as st
from nexus_routing import (
    STAGES,
    Capability,
    Case,
    Conditions,
    On,
    Operation,
    Policy,
    Requirements,
    Rule,
    Scope,
    Stage,
    State,
    Table,
    Target,
    explain,
    plan,
)
from nexus_routing.compiled import by_demand, by_table
from nexus_routing.planning import asked
from support.properties import given
from support.routing_fleets import question
from support.routing_targets import model, target

CHAT = Requirements(Operation.CHAT, "m")
GOOD = target("good", model(capabilities=[Capability.TOOLS]), priority=90)
BAD = target("bad", model(capabilities=[Capability.TOOLS]), priority=10)
OFFER = (BAD.id, "m")


@dataclass(frozen=True)
class Scene:
    """What makes one stage, and no other, refuse `bad`, which would stand first."""

    bad: Target = BAD
    requirements: Requirements = CHAT
    policy: Policy = field(default_factory=Policy)
    conditions: Conditions = field(default_factory=Conditions)


SCENES = {
    "model": Scene(target("bad", model("n"), priority=10)),
    "operation": Scene(target("bad", model(operations=[Operation.EMBEDDING]), priority=10)),
    "zone": Scene(replace(BAD, zone="attic"), replace(CHAT, zones=frozenset({"default"}))),
    "capabilities": Scene(
        target("bad", priority=10), replace(CHAT, needs=frozenset({int(Capability.TOOLS)}))
    ),
    "context": Scene(target("bad", model(context=100), priority=10), replace(CHAT, tokens=101)),
    "tier": Scene(replace(BAD, tier="economy"), policy=Policy(tiers={"m": "standard"})),
    "rules": Scene(policy=Policy(rules=(Rule(name="r", never=Scope(backends=("bad",))),))),
    "state": Scene(replace(BAD, state=State.DRAINING)),
    "reachable": Scene(conditions=Conditions(unreachable={BAD.endpoint: "lost"})),
    "gone": Scene(conditions=Conditions(gone={BAD.id: "refused"})),
    "ejected": Scene(conditions=Conditions(ejected={OFFER: "failed"})),
    "paused": Scene(conditions=Conditions(paused={OFFER: "asked"})),
}


def test_every_stage_has_its_scene() -> None:
    assert [*SCENES] == [stage.name for stage in STAGES]


@pytest.mark.parametrize("name", SCENES)
def test_who_is_refused_by_one_stage_alone_is_never_planned_and_always_named(name: str) -> None:
    scene = SCENES[name]
    for stages, chosen in ((STAGES, ["good"]), (tuple(s for s in STAGES if s.name != name), ["bad", "good"])):
        if name == "model" and stages is not STAGES:
            continue  # without it nobody could say what is offered
        table = Table([GOOD, scene.bad], scene.policy, stages)
        planned = plan(table, scene.requirements, scene.conditions)
        assert [each.target.backend for each in planned.candidates] == chosen
        verdicts = explain(table, scene.requirements, scene.conditions).verdicts
        told = {each.target.backend: each.stage for each in verdicts}
        assert told == ({"good": "", "bad": name} if stages is STAGES else {"good": "", "bad": ""})


def guests_stay_out(case: Case) -> str | None:
    guest = case.ask.requirements.tenant == "guests"
    return "is not for guests" if guest and case.target.tier == "premium" else None


def no_toys(case: Case) -> str | None:
    return "is a toy" if case.target.kind == "toy" else None


@pytest.mark.parametrize("on", [On.REQUEST, On.NOW])
def test_a_rule_about_requests_is_applied_by_standing_in_the_tuple(on: On) -> None:
    fleet = [replace(GOOD, tier="standard"), replace(BAD, tier="premium")]
    table = Table(fleet, stages=(*STAGES, Stage("guests", guests_stay_out, on)))
    for tenant, first in (("guests", "good"), ("family", "bad")):
        request = replace(CHAT, tenant=tenant)
        assert plan(table, request).candidates[0].target.backend == first
    guest = replace(CHAT, tenant="guests")
    assert len(plan(table, guest).candidates) == 1
    refused = explain(table, guest).verdicts[-1]
    assert (refused.target.backend, refused.stage, refused.reason) == ("bad", "guests", "is not for guests")
    lonely = Table([replace(BAD, tier="premium")], stages=table.stages.every)
    found = plan(lonely, guest).refusal
    assert found is not None
    assert found.stage == "guests"


@pytest.mark.parametrize("on", list(On))
def test_a_rule_about_targets_may_be_judged_at_any_time(on: On) -> None:
    stages = (*STAGES, Stage("toys", no_toys, on))
    table = Table([GOOD, replace(BAD, kind="toy")], stages=stages)
    assert [each.target.backend for each in plan(table, CHAT).candidates] == ["good"]
    assert explain(table, CHAT).verdicts[-1].stage == "toys"


@pytest.mark.parametrize("on", [On.TABLE, On.DEMAND])
def test_a_rule_that_looks_at_more_than_it_says_is_found_out(on: On) -> None:
    with pytest.raises(LookupError, match="raise its `on`"):
        plan(Table([GOOD], stages=(*STAGES, Stage("guests", guests_stay_out, on))), CHAT)


@given(st.integers(0, 2**63))
def test_judging_many_is_judging_each(seed: int) -> None:
    """And whoever sees less than all sees enough."""
    random = question(seed)
    for step in random.table.steps(random.requirements):
        full = asked(random.table, step, random.requirements, random.conditions)
        seen = {
            On.TABLE: by_table(full.policy, full.operation),
            On.DEMAND: by_demand(full),
            On.REQUEST: full,
            On.NOW: full,
        }
        every = random.table.every(step.model)
        for stage in STAGES:
            each = [
                place
                for place, one in enumerate(every)
                if stage.refuse(Case(one.target, one.model, full)) is not None
            ]
            assert sorted(stage.among(every)(seen[stage.on])) == each, stage.name
