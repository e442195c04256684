"""Over random fleets and policies: what leaves a zone leaves only the one policy names. Told a second time, plainly."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st
from nexus_gateway.access.accounts import Account, Key, Tenant
from nexus_gateway.pipeline.steps import requirements_of
from nexus_gateway.scrubbing.zone_exit import ZoneExits
from nexus_routing import Candidate, Table, plan
from support.gateway_bench import chat
from support.properties import examples, given
from support.routing_fleets import question

EXAMPLES = 2_000
ALL = 99
ZONES = ("home", "restricted", "open")
NAMES = ("m", "m:latest", "n", "o:7b", "x", "y")


def kept(table: Table, asked: str, by: tuple[str, str, str], candidate: Candidate) -> set[str]:
    """The zones this candidate must be in although policy lets some be left. `by`: key, tenant and client."""
    policy, crossing = table.policy, table.policy.crossing
    own = set(policy.names(asked, table.resolve(asked) or asked))
    stays = {zone for zone in by[:2] if crossing.get(zone) != "scrub"} | {by[2]}
    for name in own | {candidate.model.id}:
        zone = policy.zones.get(name, "")
        if crossing.get(name, crossing.get(zone)) != "scrub":
            stays.add(zone)
    for rule in policy.rules:
        if rule.applies((*own, candidate.model.id), "default") and crossing.get(rule.zone) != "scrub":
            stays.add(rule.zone)
    return stays - {"", "open"}


@examples(EXAMPLES)
@given(st.integers(0, 2**63))
def test_only_what_policy_names_is_left(seed: int) -> None:
    asked, random = question(seed), Random(seed)
    says = {
        name: random.choice(("scrub", "scrub", "block")) for name in (*ZONES, *NAMES) if random.random() < 0.3
    }
    table = Table(asked.table.targets, asked.table.policy.model_copy(update={"crossing": says}))
    model = asked.requirements.model
    key, tenant, client = (random.choice(("", "", *ZONES)) for _ in range(3))
    principal = Account.of(Key("k", "k", key), Tenant(zone=tenant)).principal
    request = chat(model, principal=principal, zone=client or None)
    way = ZoneExits().find(table, request, requirements_of(request))
    names = table.policy.names(model, table.resolve(model) or model)
    if way is None:
        assert "scrub" not in says.values() or "block" in {says.get(name) for name in names}
        return
    assert "block" not in {says.get(name) for name in names}
    for each in plan(way.table, way.requirements, asked.conditions, ALL).candidates:
        assert kept(table, model, (key, tenant, client), each) <= {each.zone}
    assert plan(table, requirements_of(request), asked.conditions, ALL) == plan(
        asked.table, requirements_of(request), asked.conditions, ALL
    ), "a plan itself knows no crossing"
