"""What no decision may ever do, over random fleets and requests. The rules are told here a second time, plainly."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_routing import Candidate, Conditions, Policy, Requirements, State, Table, explain, plan
from support.routing_strategies import REQUIREMENTS, conditions_for, tables
from support.routing_targets import model, target

EXAMPLES = 2_000
CHAT = Requirements(1, "m")


def names_on_the_way(table: Table, requirements: Requirements, resolved: str) -> set[str]:
    """Every name a request goes by, from the client's to the model's."""
    names, name = {resolved}, requirements.model
    while name not in names:
        names.add(name)
        name = table.policy.aliases.get(name, resolved)
    return names


def breach(table: Table, requirements: Requirements, conditions: Conditions, candidate: Candidate) -> str:
    """The promise a candidate breaks, or nothing."""
    found, offer = candidate.target, candidate.model
    place = "open" if offer.remote else found.zone
    demanded = set(requirements.zones)
    for name in names_on_the_way(table, requirements, offer.id):
        demanded |= {table.policy.zones[name]} if name in table.policy.zones else set()
    broken = {
        "zone": bool(demanded - {place, "open"}),
        "operation": requirements.operation not in offer.operations,
        "capability": not requirements.needs <= offer.capabilities,
        "state": found.state != State.ACTIVE,
        "reachability": found.endpoint in conditions.unreachable,
        "ejection": found.id in conditions.ejected,
        "offer": offer not in found.models,
    }
    return next((promise for promise, is_broken in broken.items() if is_broken), "")


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.data(), tables(), REQUIREMENTS)
def test_nobody_gets_a_request_that_must_not(
    data: st.DataObject, table: Table, requirements: Requirements
) -> None:
    conditions = conditions_for(table.targets, data)
    chosen = plan(table, requirements, conditions, limit=7)
    assert [breach(table, requirements, conditions, each) for each in chosen.candidates] == [""] * len(
        chosen.candidates
    )
    assert plan(table, requirements, conditions, limit=7) == chosen, "the same question, another answer"
    verdicts = explain(table, requirements, conditions).verdicts
    assert all(verdict.reason and (verdict.rank or verdict.stage) for verdict in verdicts)


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
        table = Table(fleet, Policy(aliases, {zoned: "restricted"}))
        got = [each.target.backend for each in plan(table, Requirements(1, "private")).candidates]
        assert got == ["restricted"]
    assert len(plan(Table(fleet, Policy(aliases, {"private": "restricted"})), CHAT).candidates) == 2


def test_a_zone_nobody_is_in_is_refused_and_not_remembered() -> None:
    table = Table([target("a")])
    for number in range(100):
        refused = plan(table, Requirements(1, "m", zones=frozenset({f"z{number}"}))).refusal
        assert refused is not None
        assert refused.stage == "zone"
    assert table.pools == 1
