"""Zones demanded by key, tenant, client and policy, over random fleets: whoever is chosen is in all of them."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_gateway.accounts import Account, Key, Tenant
from nexus_gateway.request import InferenceRequest
from nexus_routing import Requirements, Table, plan
from support.gateway_bench import chat
from support.routing_strategies import ZONES, tables

EXAMPLES = 300
MAYBE = ZONES | st.just("")


def request(key: str, tenant: str, header: str, model: str = "m") -> InferenceRequest:
    """A request under these demands; empty = none."""
    account = Account.of(Key("k", "k", key), Tenant(zone=tenant))
    return chat(model, principal=account.principal, zone=header or None)


def requirements(asked: InferenceRequest) -> Requirements:
    return Requirements(asked.operation, asked.model, asked.needs, asked.zones)


@settings(max_examples=EXAMPLES, deadline=None)
@given(tables(), MAYBE, MAYBE, MAYBE, st.sampled_from(["m", "x", "y"]))
def test_all_who_demand_are_heard(table: Table, key: str, tenant: str, header: str, model: str) -> None:
    asked = request(key, tenant, header, model)
    by_policy = {table.policy.zones[model]} if model in table.policy.zones else set()
    wanted = ({key, tenant, header} | by_policy) - {"", "open"}
    for chosen in plan(table, requirements(asked), limit=7).candidates:
        assert wanted <= {chosen.zone}


@settings(max_examples=EXAMPLES, deadline=None)
@given(tables(), MAYBE, MAYBE, MAYBE, ZONES, st.integers(0, 2))
def test_a_further_demand_only_takes_away(
    table: Table, key: str, tenant: str, header: str, further: str, who: int
) -> None:
    before = [key, tenant, header]
    after = [further if place == who and not zone else zone for place, zone in enumerate(before)]
    reached = [
        {each.id for each in plan(table, requirements(request(*demands)), limit=7).candidates}
        for demands in (before, after)
    ]
    assert reached[1] <= reached[0]


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), MAYBE, st.booleans()), max_size=8), st.randoms())
def test_whatever_the_order_of_news_the_latest_counts(
    news: list[tuple[int, str, bool]], order: random.Random
) -> None:
    """Every revision says one thing, as the vault makes them; answers and watch may bring them in any order."""
    says = {(of_key, revision): zone for revision, zone, of_key in news}
    parts = [
        Key("k", "k", zone, revision=revision) if of_key else Tenant(zone=zone, revision=revision)
        for (of_key, revision), zone in says.items()
    ]
    order.shuffle(parts)
    account = Account.of(Key("k", "k"), Tenant())
    for part in parts:
        account = account.told(part)
    latest = [max((r for who, r in says if who is of_key), default=0) for of_key in (True, False)]
    wanted = {says.get((True, latest[0]), ""), says.get((False, latest[1]), "")} - {""}
    assert account.principal.zones == wanted
