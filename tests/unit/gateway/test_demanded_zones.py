"""Zones demanded by key, tenant, client and policy, over random fleets: whoever is chosen is in all of them."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import strategies as st
from nexus_gateway.access.accounts import Account, Key, Tenant
from nexus_gateway.pipeline.steps import requirements_of
from nexus_routing import Candidate, plan
from support.gateway_bench import chat
from support.properties import examples, given
from support.routing_fleets import Question, question

EXAMPLES = 2_000
ALL = 99
SEEDS = st.integers(0, 2**63)
NOBODY_DEMANDS = ("", "", "")


def demands(random: Random) -> tuple[str, ...]:
    """Of key, tenant and client; empty = none."""
    return tuple(random.choice(("", "", "home", "restricted", "open")) for _ in range(3))


def chosen(asked: Question, by: tuple[str, ...]) -> list[Candidate]:
    """Whom the request of a question would be sent to under these demands, as the gateway's pipeline asks for it."""
    key, tenant, client = by
    principal = Account.of(Key("k", "k", key), Tenant(zone=tenant)).principal
    request = chat(asked.requirements.model, principal=principal, zone=client or None)
    request.operation, request.needs = asked.requirements.operation, asked.requirements.needs
    # Who is the last one, and asked though it is ejected, depends on the demand: that is promised elsewhere.
    conditions = replace(asked.conditions, ejected={})
    return list(plan(asked.table, requirements_of(request), conditions, ALL).candidates)


@examples(EXAMPLES)
@given(SEEDS)
def test_all_who_demand_are_heard(seed: int) -> None:
    asked, by = question(seed), demands(Random(seed))
    zones, model = asked.table.policy.zones, asked.requirements.model
    wanted = {*by, zones.get(model, "")} - {"", "open"}
    assert [each for each in chosen(asked, by) if not wanted <= {each.zone}] == []


@examples(EXAMPLES)
@given(SEEDS)
def test_a_demand_takes_away_those_outside_and_nobody_else(seed: int) -> None:
    asked, by = question(seed), demands(Random(seed))
    wanted = set(by) - {"", "open"}
    free = chosen(asked, NOBODY_DEMANDS)
    inside = {(each.id, each.model.id) for each in free if wanted <= {each.zone}}
    assert {(each.id, each.model.id) for each in chosen(asked, by)} == inside


@examples(EXAMPLES)
@given(SEEDS)
def test_whatever_the_order_of_news_the_latest_counts(seed: int) -> None:
    """Every revision says one thing, as the vault makes them; answers and watch may bring them in any order."""
    random = Random(seed)
    keys = [Key("k", "k", demands(random)[0], revision=number) for number in range(random.randrange(1, 4))]
    tenants = [Tenant(zone=demands(random)[0], revision=number) for number in range(random.randrange(1, 4))]
    account = Account.of(random.choice(keys), random.choice(tenants))
    news = [*keys, *tenants]
    random.shuffle(news)
    for part in news:
        account = account.told(part)
    assert account.principal.zones == {keys[-1].zone, tenants[-1].zone} - {""}
