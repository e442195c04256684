"""A policy's way into a snapshot and out of it: no wish of the operator is lost, and none is made up."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import strategies as st
from nexus.router.v1.snapshot_pb2 import Price, Rule, Snapshot
from nexus_mesh.identity import LABEL
from nexus_routing import TIERS, ZONE, Policy, Scope, Tariff, read_policy, write_policy
from nexus_routing import Rule as RoutingRule
from pydantic import BaseModel
from support.properties import examples, given

FULL = Policy(
    aliases={"a": "m"},
    zones={"m": "home"},
    fallbacks={"m": ("n", "o")},
    overflow_to_fallbacks=True,
    tiers={"m": "low"},
    tier_order=("low", "high"),
    tier_drop=("m",),
    resume=("m*",),
    hedge={"e-*": 0.5},
    crossing={"home": "scrub"},
    rules=(
        RoutingRule(
            name="r",
            models=("m*",),
            tenants=("t",),
            only=Scope(hosts=("h",), backends=("b",), kinds=("k",), tiers=("low",), gpus=("g*",)),
            never=Scope(hosts=("x",)),
            zone="home",
        ),
        RoutingRule(name="bare", zone="office"),
    ),
    prices=(
        Tariff(
            hosts=("h",),
            backends=("b",),
            kinds=("k",),
            tiers=("low",),
            gpus=("g",),
            models=("m",),
            input=2.5,
            output=10.0,
        ),
    ),
)
NOT_POLICY = {"version", "create_time", "targets", "policy_revision"}


def sent(policy: Policy) -> Policy:
    snapshot = Snapshot()
    write_policy(policy, snapshot)
    return read_policy(Snapshot.FromString(snapshot.SerializeToString()))


def test_every_wish_reaches_gateways() -> None:
    assert {name for name in Policy.model_fields if getattr(FULL, name) == getattr(Policy(), name)} == set()
    assert sent(FULL) == FULL


def test_what_nobody_wished_for_is_the_default() -> None:
    assert sent(Policy()) == Policy()
    assert read_policy(Snapshot()).tier_order == TIERS


NAMES = st.text("abcm*?:-", min_size=1, max_size=5)
MAPS = st.dictionaries(NAMES, NAMES, max_size=3)
LISTS = st.lists(NAMES, max_size=3).map(tuple)
SCOPES = st.builds(Scope.model_construct, hosts=LISTS, backends=LISTS, kinds=LISTS, tiers=LISTS, gpus=LISTS)
DOLLARS = st.floats(0, 1e6)


@examples(2_000)
@given(
    st.builds(
        Policy.model_construct,
        aliases=MAPS,
        zones=MAPS,
        fallbacks=st.dictionaries(NAMES, LISTS, max_size=3),
        tier_drop=LISTS,
        overflow_to_fallbacks=st.booleans(),
        hedge=st.dictionaries(NAMES, st.floats(0.1, 600), max_size=2),
        rules=st.lists(
            st.builds(
                RoutingRule.model_construct,
                name=st.just("") | NAMES,
                models=LISTS,
                tenants=LISTS,
                only=SCOPES,
                never=SCOPES,
                zone=st.just("") | NAMES,
            ),
            max_size=3,
        ).map(tuple),
        prices=st.lists(
            st.builds(
                Tariff.model_construct, models=LISTS, hosts=LISTS, gpus=LISTS, input=DOLLARS, output=DOLLARS
            ),
            max_size=3,
        ).map(tuple),
    )
)
def test_any_policy_arrives_as_it_was_sent(policy: Policy) -> None:
    assert sent(policy) == policy


def test_the_contract_has_no_wish_that_nobody_reads() -> None:
    """A field of the snapshot that the policy does not know would be a rule that is never applied."""
    for message, kind in ((Snapshot, Policy), (Rule, RoutingRule), (Price, Tariff)):
        read = {_field(kind, name) for name in kind.model_fields}
        assert {field.name for field in message.DESCRIPTOR.fields} - NOT_POLICY == read


def _field(kind: type[BaseModel], name: str) -> str:
    if kind is Tariff and name in Scope.model_fields:
        return "scope"
    return "overflow" if name == "overflow_to_fallbacks" else name


def test_a_wish_without_a_field_in_the_contract_is_refused() -> None:
    class Wider(Policy):
        wish: str = "w"

    with pytest.raises(ValueError, match="wish"):
        write_policy(Wider(), Snapshot())


def test_a_zone_is_called_as_certificates_can_carry_it() -> None:
    assert ZONE.pattern == LABEL.pattern


def test_reading_validates_nothing() -> None:
    """A gateway takes what a newer router sends, or it would go on with the rules of yesterday."""
    newer = Snapshot(crossing={"home": "mask"}, aliases={"a": "b", "b": "a"})
    assert read_policy(newer).crossing == {"home": "mask"}
    assert "mask" not in get_args(Policy.model_fields["crossing"].annotation)
