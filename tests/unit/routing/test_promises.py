"""What no decision may ever do, over random fleets and requests. The rules are told here a second time, plainly."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

import pytest
from hypothesis import strategies as st
from nexus_routing import (
    TIERS,
    Candidate,
    Plan,
    Policy,
    Requirements,
    Rule,
    Scope,
    State,
    Table,
    Target,
    explain,
    plan,
)
from support.properties import examples, given
from support.routing_fleets import Question, question
from support.routing_targets import model, target

pytestmark = pytest.mark.timeout(1200)  # ten thousand examples take a busy machine minutes
ALL = 99
CHAT = Requirements(1, "m")


def names_on_the_way(policy: Policy, asked: str, resolved: str) -> list[str]:
    """Every name a request goes by, from the client's to the model's."""
    names, name = [], asked
    while name not in (*names, resolved):
        names.append(name)
        name = policy.aliases.get(name, resolved)
    return [*names, resolved]


def goes_by(asked: Question, candidate: Candidate) -> set[str]:
    """The names whose policy a candidate must keep: the asked one's, and those of the fallback that led to it."""
    policy, table, name = asked.table.policy, asked.table, asked.requirements.model
    own = table.resolve(name) or table.aliases.get(name, name)
    names = names_on_the_way(policy, name, own)
    if candidate.model.id == own:
        return set(names)
    chain = next(policy.fallbacks[each] for each in names if each in policy.fallbacks)
    led = next(each for each in chain if table.resolve(each) == candidate.model.id)
    return {*names, *names_on_the_way(policy, led, candidate.model.id)}


def fits(scope: Scope, found: Target) -> bool:
    facts = (
        (scope.hosts, found.host),
        (scope.backends, found.backend),
        (scope.kinds, found.kind),
        (scope.tiers, found.tier),
    )
    on_gpu = any(fnmatchcase(name.lower(), each.lower()) for name in found.gpus for each in scope.gpus)
    return all(not wanted or fact in wanted for wanted, fact in facts) and (on_gpu or not scope.gpus)


def ruling(asked: Question, names: set[str]) -> list[Rule]:
    """The rules that are about a request by these names."""
    return [
        rule
        for rule in asked.table.policy.rules
        if (not rule.tenants or asked.requirements.tenant in rule.tenants)
        and (not rule.models or any(fnmatchcase(name, each) for name in names for each in rule.models))
    ]


def breaks_a_rule(asked: Question, names: set[str], found: Target) -> bool:
    return any(
        not fits(rule.only, found) or (rule.never != Scope() and fits(rule.never, found))
        for rule in ruling(asked, names)
    )


def breaks_the_tier(policy: Policy, names: set[str], found: Target) -> bool:
    demanded = [TIERS.index(policy.tiers[name]) for name in names if name in policy.tiers]
    has = TIERS.index(found.tier) if found.tier in TIERS else -1
    return bool(demanded) and has < max(demanded) and not names.intersection(policy.tier_drop)


def breach(asked: Question, candidate: Candidate, *, last: bool) -> str:
    """The promise a candidate breaks, or nothing. `last`: nobody else is left."""
    found, offer = candidate.target, candidate.model
    requirements, policy = asked.requirements, asked.table.policy
    names = goes_by(asked, candidate)
    demanded = {*requirements.zones, *(policy.zones[name] for name in names if name in policy.zones)}
    demanded |= {rule.zone for rule in ruling(asked, names) if rule.zone}
    broken = {
        "zone": bool(demanded - {"open" if offer.remote else found.zone, "open"}),
        "operation": requirements.operation not in offer.operations,
        "capability": not requirements.needs <= offer.capabilities,
        "context": 0 < offer.context_tokens < requirements.tokens,
        "tier": breaks_the_tier(policy, names, found),
        "rule": breaks_a_rule(asked, names, found),
        "state": found.state != State.ACTIVE,
        "reachability": found.endpoint in asked.conditions.unreachable,
        "connection": found.id in asked.conditions.gone,
        "ejection": (found.id, offer.id) in asked.conditions.ejected and not last,
        "pause": (found.id, offer.id) in asked.conditions.paused,
        "offer": offer not in found.models,
    }
    return next((promise for promise, is_broken in broken.items() if is_broken), "")


def price(asked: Question, candidate: Candidate) -> float:
    """What a candidate costs, by the first tariff that fits it."""
    for tariff in asked.table.policy.prices:
        named = not tariff.models or any(fnmatchcase(candidate.model.id, each) for each in tariff.models)
        if named and fits(tariff, candidate.target):
            return round(sum(tariff.price), 9)
    return 0.0


def leaders(asked: Question, chosen: Plan) -> list[tuple[str, bool, int, float]]:
    """Model, business, priority and price of the first of all that are equal in model, priority and price."""
    found: dict[tuple[str, int, float], tuple[str, bool, int, float]] = {}
    for each in chosen.candidates:
        name, priority, costs = each.model.id, each.target.priority, price(asked, each)
        entry = (name, each.is_busy(asked.conditions), priority, costs)
        found.setdefault((name, priority, costs), entry)
    return list(found.values())


def decide(asked: Question, limit: int) -> Plan:
    return plan(asked.table, asked.requirements, asked.conditions, limit)


@examples(10_000)
@given(st.integers(0, 2**63))
def test_nobody_gets_a_request_that_must_not(seed: int) -> None:
    asked = question(seed)
    decided = decide(asked, ALL)
    chosen = decided.candidates
    assert [breach(asked, each, last=decided.last) for each in chosen] == [""] * len(chosen)
    assert len({(each.id, each.model.id) for each in chosen}) == len(chosen), "one tried twice"


@examples(10_000)
@given(st.integers(0, 2**63))
def test_a_decision_is_a_function_of_what_it_is_asked(seed: int) -> None:
    """And every refusal has a reason, whoever could serve is found, and a short plan has the best of every model."""
    asked = question(seed)
    chosen = decide(asked, ALL)
    assert decide(question(seed), ALL) == chosen, "the same question, another answer"
    short = decide(asked, 2).candidates
    assert short[:1] == chosen.candidates[:1]
    assert {each.model.id for each in short} == {each.model.id for each in chosen.candidates}
    assert len(short) <= 2 * len(asked.table.steps(asked.requirements))
    verdicts = explain(asked.table, asked.requirements, asked.conditions).verdicts
    assert all(verdict.reason and (verdict.rank or verdict.stage) for verdict in verdicts)
    ranked = [(verdict.target.id, verdict.model) for verdict in verdicts if verdict.rank]
    assert [verdict.rank for verdict in verdicts] == [
        *range(1, len(ranked) + 1),
        *[0] * (len(verdicts) - len(ranked)),
    ]
    assert ranked == [(each.id, each.model.id) for each in chosen.candidates]
    assert {verdict.target.id for verdict in verdicts} == {each.id for each in asked.table.targets}
    assert (chosen.refusal is None) == bool(chosen.candidates)


@examples(2_500)
@given(st.integers(0, 2**63))
def test_price_comes_after_everything_but_load(seed: int) -> None:
    """It decides who comes first of equal priority, a free place before a busy one, and never who may serve."""
    asked = question(seed)
    policy = asked.table.policy
    priced = decide(asked, ALL)
    free = replace(asked, table=Table(asked.table.targets, policy.model_copy(update={"prices": ()})))
    unpriced = decide(free, ALL)
    assert {(each.id, each.model.id) for each in priced.candidates} == {
        (each.id, each.model.id) for each in unpriced.candidates
    }
    assert priced.refusal == unpriced.refusal
    assert [each.price.total for each in priced.candidates] == [
        price(asked, each) for each in priced.candidates
    ]
    if any(step.demand.tier for step in asked.table.steps(asked.requirements)):
        return  # a model may have two steps then, each with an order of its own
    for name in {each.model.id for each in priced.candidates}:
        own = [rest for model_id, *rest in leaders(asked, priced) if model_id == name]
        assert own == sorted(own), "not free before busy, then by priority, then by price"


def test_the_questions_are_worth_asking() -> None:
    """A generator whose plans are all empty, or never fall back or cost anything, would prove nothing."""
    plans = [(asked := question(seed), decide(asked, ALL)) for seed in range(1_000)]
    served = [(asked, chosen) for asked, chosen in plans if chosen.candidates]
    stood_in = [
        chosen for _, chosen in served if any(each.model.id != chosen.model for each in chosen.candidates)
    ]
    dropped = [
        chosen
        for _, chosen in served
        if any(chosen.tier in TIERS[1:] and each.target.tier in ("", TIERS[0]) for each in chosen.candidates)
    ]
    stages = {chosen.refusal.stage for _, chosen in plans if chosen.refusal}
    dearer = [
        chosen
        for _, chosen in served
        if len({(each.model.id, *each.standing) for each in chosen.candidates})
        > len({(each.model.id, each.target.priority) for each in chosen.candidates})
    ]
    assert (len(served) > 300, len(stood_in) > 50, len(dropped) > 5, len(dearer) > 25) == (True,) * 4
    assert stages >= {
        "model",
        "absent",
        "operation",
        "zone",
        "capabilities",
        "context",
        "tier",
        "rules",
        "state",
    }


def test_a_cloud_model_is_in_no_zone_of_its_host() -> None:
    home = target("home", model(remote=True), zone="restricted")
    table = Table([home], Policy(zones={"m": "restricted"}))
    refused = plan(table, CHAT).refusal
    assert refused is not None
    assert (refused.stage, refused.verdicts[0].reason) == ("zone", "is in zone open, not restricted")
    assert plan(Table([home]), CHAT).candidates


def test_policy_and_caller_are_both_heard() -> None:
    fleet = [target(zone, zone=zone) for zone in ("home", "restricted", "open")]
    asked = Requirements(1, "m", zones=frozenset({"home"}))
    assert [each.target.backend for each in plan(Table(fleet), asked).candidates] == ["home"]
    assert plan(Table(fleet, Policy(zones={"m": "restricted"})), asked).refusal is not None
    open_to_all = Requirements(1, "m", zones=frozenset({"open"}))
    assert len(plan(Table(fleet), open_to_all).candidates) == 3
    within = plan(Table(fleet, Policy(zones={"m": "restricted"})), open_to_all).candidates
    assert [each.target.backend for each in within] == ["restricted"]


def test_a_zone_sticks_to_every_name_on_the_way() -> None:
    fleet = [target(zone, zone=zone) for zone in ("home", "restricted")]
    aliases = {"private": "between", "between": "m"}
    for zoned in ("private", "between", "m"):
        table = Table(fleet, Policy(aliases=aliases, zones={zoned: "restricted"}))
        got = [each.target.backend for each in plan(table, Requirements(1, "private")).candidates]
        assert got == ["restricted"]
    assert (
        len(plan(Table(fleet, Policy(aliases=aliases, zones={"private": "restricted"})), CHAT).candidates)
        == 2
    )


def test_a_rule_demands_a_zone_of_the_requests_it_is_about() -> None:
    fleet = [target(zone, model("m"), model("n"), zone=zone) for zone in ("home", "restricted", "open")]
    rule = Rule(name="ward", models=("m",), tenants=("ward",), zone="restricted")
    table = Table(fleet, Policy(rules=(rule,), fallbacks={"m": ("n",)}))

    def zones(name: str, tenant: str) -> set[str]:
        return {each.zone for each in plan(table, Requirements(1, name, tenant=tenant), limit=ALL).candidates}

    everywhere = {"home", "restricted", "open"}
    assert zones("m", "ward") == {"restricted"}, "its fallback is no way out"
    assert (zones("n", "ward"), zones("m", "guests")) == (everywhere, everywhere)
    explained = explain(table, Requirements(1, "m", tenant="ward"))
    assert explained.zones == {"restricted"}


def test_a_zone_nobody_is_in_is_refused_and_not_remembered() -> None:
    table = Table([target("a")])
    for number in range(100):
        refused = plan(table, Requirements(1, "m", zones=frozenset({f"z{number}"}))).refusal
        assert refused is not None
        assert refused.stage == "zone"
    assert table.pools == 1
