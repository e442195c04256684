"""Rules and prices that name devices."""

from __future__ import annotations

import pytest
from nexus_routing import (
    Policy,
    Requirements,
    Rule,
    Scope,
    Table,
    Tariff,
    explain,
    plan,
)
from support.routing_targets import target

CHAT = Requirements(1, "m")
FLEET = [
    target("big", gpus=["RTX4090-0", "rtx4090-1"]),
    target("small", gpus=["rtx3060"]),
    target("unknown"),
]


def serve(rule: Rule) -> set[str]:
    return {each.target.backend for each in plan(Table(FLEET, Policy(rules=(rule,))), CHAT).candidates}


@pytest.mark.parametrize(
    ("patterns", "fit"),
    [
        (("rtx4090*",), {"big"}),
        (("RTX*",), {"big", "small"}),
        (("rtx4090-?", "RTX3060"), {"big", "small"}),
        (("rtx4090",), set()),
        (("*",), {"big", "small"}),
    ],
)
def test_only_and_never(patterns: tuple[str, ...], fit: set[str]) -> None:
    everybody = {"big", "small", "unknown"}
    assert serve(Rule(name="r", only=Scope(gpus=patterns))) == fit
    assert serve(Rule(name="r", never=Scope(gpus=patterns))) == everybody - fit


def test_every_field_of_a_scope_must_fit() -> None:
    both = Scope(backends=("small", "unknown"), gpus=("rtx*",))
    assert serve(Rule(name="r", only=both)) == {"small"}


def test_the_rule_that_refuses_is_named() -> None:
    policy = Policy(rules=(Rule(name="no old cards", never=Scope(gpus=("*3060*",))),))
    told = {each.target.backend: each.reason for each in explain(Table(FLEET, policy), CHAT).verdicts}
    assert told["small"] == "is excluded by rule 'no old cards'"


def test_a_price_may_name_gpus() -> None:
    policy = Policy(prices=(Tariff(input=1, output=1, gpus=("rtx4090*",)),))
    found = {each.target.backend: each.price.total for each in plan(Table(FLEET, policy), CHAT).candidates}
    assert found == {"big": 2, "small": 0, "unknown": 0}
