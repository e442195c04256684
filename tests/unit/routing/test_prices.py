"""What targets cost, and what that changes: the order among equals, and nothing else."""

from __future__ import annotations

import pytest
from nexus_operations import Unit
from nexus_routing import (
    CHARGED,
    Conditions,
    Load,
    Policy,
    Price,
    Requirements,
    Table,
    Target,
    Tariff,
    explain,
    plan,
)
from support.routing_targets import model, target

CHAT = Requirements(1, "m")
CLOUD = Tariff(input=2.5, output=10, kinds=("cloud",))
DEAR = Tariff(input=5, output=20, backends=("dear",))


def names(table: Table, conditions: Conditions | None = None, limit: int = 9) -> list[str]:
    return [each.target.backend for each in plan(table, CHAT, conditions or Conditions(), limit).candidates]


def fleet(*, busy: tuple[str, ...] = (), **priorities: int) -> list[Target]:
    """own, cloud and dear with a place each, the last two in the cloud."""
    return [
        target(
            name,
            kind="fake" if name == "own" else "cloud",
            load=Load(active=name in busy, capacity=1),
            priority=priorities.get(name, 50),
        )
        for name in ("cloud", "dear", "own")
    ]


POLICY = Policy(prices=(DEAR, CLOUD))


def test_of_equal_priority_the_cheaper_comes_first() -> None:
    for turn in range(6):
        assert names(Table(fleet(), POLICY), Conditions(turn=turn)) == ["own", "cloud", "dear"]


def test_a_priority_counts_for_more_than_a_price() -> None:
    assert names(Table(fleet(dear=1), POLICY)) == ["dear", "own", "cloud"]


@pytest.mark.parametrize(
    ("busy", "order", "overflow"),
    [
        ((), ["own", "cloud", "dear"], False),
        (("own",), ["cloud", "dear", "own"], True),
        (("own", "cloud"), ["dear", "own", "cloud"], True),
        (("own", "cloud", "dear"), ["own", "cloud", "dear"], False),
        (("dear",), ["own", "cloud", "dear"], False),
    ],
)
def test_a_free_place_comes_before_a_cheap_one(
    busy: tuple[str, ...], order: list[str], overflow: bool
) -> None:
    table = Table(fleet(busy=busy), POLICY)
    assert names(table) == order
    assert plan(table, CHAT).overflow is overflow


def test_the_first_tariff_that_fits_counts() -> None:
    free_first = Policy(prices=(Tariff(backends=("dear",)), CLOUD))
    found = {each.target.backend: each.price for each in plan(Table(fleet(), free_first), CHAT).candidates}
    assert found == {"own": Price(), "dear": Price(), "cloud": Price(2.5, 10)}


def test_a_tariff_names_models_as_the_target_does() -> None:
    policy = Policy(aliases={"alias": "m"}, prices=(Tariff(models=("alias", "n*"), input=1, output=1),))
    table = Table([target("box", model("m"), model("n:7b"))], policy)
    prices = {
        name: plan(table, Requirements(1, name)).candidates[0].price.total for name in ("alias", "m", "n:7b")
    }
    assert prices == {"alias": 0, "m": 0, "n:7b": 2}


def test_equal_sums_are_equal() -> None:
    halves = (
        Tariff(input=0.1, output=0.2, backends=("a",)),
        Tariff(input=0.3, backends=("b",)),
    )
    table = Table([target("a"), target("b")], Policy(prices=halves))
    assert {names(table, Conditions(turn=turn))[0] for turn in range(2)} == {"a", "b"}


def test_dollars() -> None:
    tokens = {Unit.PROMPT_TOKENS: 1_000_000, Unit.COMPLETION_TOKENS: 100_000}
    assert Price(2.5, 10).cost(tokens) == 3.5
    assert Price().cost(tokens) == 0


@pytest.mark.parametrize(
    ("price", "used"),
    [
        (Price(images=1.5), {Unit.OUTPUT_IMAGES: 1}),
        (Price(characters=1.5), {Unit.INPUT_CHARACTERS: 1_000_000, Unit.OUTPUT_SECONDS: 60}),
        (Price(input_minutes=1.5), {Unit.INPUT_SECONDS: 60}),
        (Price(output_minutes=1.5), {Unit.INPUT_CHARACTERS: 9, Unit.OUTPUT_SECONDS: 60}),
    ],
)
def test_each_rate_is_for_its_own_unit(price: Price, used: dict[Unit, float]) -> None:
    assert price.cost(used) == 1.5
    assert all(unit in {unit for unit, _ in CHARGED} for unit in Unit)


def reasons(table: Table) -> dict[str, str]:
    return {each.target.backend: each.reason for each in explain(table, CHAT).verdicts}


def test_explain_names_the_price_and_why_it_stands_behind() -> None:
    told = reasons(Table(fleet(), POLICY))
    assert "$" not in told["own"]
    assert "dearer" not in told["own"]
    assert "$2.5 and $10 per million tokens" in told["cloud"]
    assert "dearer than own" in told["cloud"]
    assert "$5 and $20" in told["dear"]


def test_explain_says_why_a_dearer_one_stands_first() -> None:
    told = reasons(Table(fleet(busy=("own",)), POLICY))
    assert "dearer than own, which has no free place" in told["cloud"]
    assert "dearer" not in reasons(Table(fleet(cloud=1), POLICY))["cloud"]
