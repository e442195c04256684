"""Random fleets, policies, requests and conditions from one seed, small enough that they often meet."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TypeVar

from nexus_routing import (
    TIERS,
    Conditions,
    Load,
    Model,
    Policy,
    Requirements,
    Rule,
    Scope,
    State,
    Table,
    Target,
    Tariff,
)
from support.routing_targets import target

__all__ = ["Question", "question"]

T = TypeVar("T")

OFFERED = ("m", "m:latest", "n", "o:7b")
NAMES = (*OFFERED, "x", "y")
ZONES = ("home", "restricted", "open")
GPUS = ("rtx4090", "RTX3060", "a100-0")
TENANTS = ("", "family", "guest")


@dataclass(frozen=True, slots=True)
class Question:
    """All a decision depends on."""

    table: Table
    requirements: Requirements
    conditions: Conditions


def question(seed: int) -> Question:
    """The same for the same seed."""
    random = Random(seed)
    targets = [_target(random, number) for number in range(random.choice((0, *range(3, 10))))]
    return Question(Table(targets, _policy(random)), _requirements(random), _conditions(random, targets))


def _target(random: Random, number: int) -> Target:
    models = [_model(random, name) for name in random.sample(OFFERED, random.randint(2, 4))]
    return target(
        f"t{number}",
        *models,
        state=State.ACTIVE if random.random() < 0.85 else random.choice(list(State)),
        priority=random.randint(1, 3),
        load=Load(random.randrange(5), random.randrange(3), random.randrange(5)),
        instance=random.choice([None, "shared/adapter/a"]),
        zone=random.choice(ZONES),
        tier=random.choice((*TIERS, "")),
        gpus=random.sample(GPUS, random.randrange(3)),
    )


def _model(random: Random, name: str) -> Model:
    return Model(
        name,
        frozenset(random.sample(range(1, 4), random.choice((1, 3, 3)))),
        frozenset(random.sample(range(1, 4), random.choice((0, 1, 2, 3, 3, 3)))),
        context_tokens=random.choice((0, 100, 200)),
        loaded=random.random() < 0.5,
        remote=random.random() < 0.2,
    )


def _policy(random: Random) -> Policy:
    # Not validated: circles and models that stand in for themselves must do no harm either.
    return Policy.model_construct(
        aliases=_some(random, ("m", "x", "y"), NAMES, 0.2),
        zones=_some(random, NAMES, ZONES, 0.1),
        fallbacks={
            name: tuple(random.sample(NAMES, random.randint(1, 3))) for name in NAMES if random.random() < 0.3
        },
        tiers=_some(random, NAMES, TIERS, 0.2),
        tier_drop=tuple(name for name in NAMES if random.random() < 0.2),
        rules=tuple(_rule(random, number) for number in range(random.choice((0, 0, 0, 1, 2)))),
        overflow_to_fallbacks=random.random() < 0.3,
        prices=tuple(_tariff(random) for _ in range(random.choice((0, 3, 6)))),
    )


def _tariff(random: Random) -> Tariff:
    scope = random.choice((_scope(random), Scope.model_construct(backends=(f"t{random.randrange(9)}",))))
    return Tariff.model_construct(
        models=random.choice(((), ("m*",), ("?",), ("o:*", "n"))),
        input=random.choice((0, 0.1, 2.5)),
        output=random.choice((0, 0.2, 10)),
        **dict(scope),
    )


def _rule(random: Random, number: int) -> Rule:
    return Rule.model_construct(
        name=f"r{number}",
        models=random.choice(((), ("m*",), ("?",), ("o:*", "x"))),
        tenants=tuple(random.sample(TENANTS, random.randrange(2))),
        only=_scope(random),
        never=_scope(random),
        zone=random.choice(("", "", "", "", *ZONES)),
    )


def _scope(random: Random) -> Scope:
    return random.choice(
        (
            Scope(),
            Scope(),
            Scope(hosts=("t1-node", "shared")),
            Scope(backends=("t0", "t2")),
            Scope(tiers=("premium", "standard")),
            Scope(kinds=("fake",), backends=("t3",)),
            Scope(gpus=("Rtx*",)),
            Scope(gpus=("a100-?", "none"), tiers=("premium", "economy")),
        )
    )


def _requirements(random: Random) -> Requirements:
    return Requirements(
        random.randint(1, 3),
        random.choice((*"mmmmmmnnnnnnxy", "o", "?")),
        frozenset(random.sample(range(1, 4), random.choice((0, 0, 0, 0, 1, 2)))),
        frozenset(random.sample(ZONES, random.choice((0, 0, 0, 0, 0, 1, 2)))),
        tenant=random.choice(TENANTS),
        tokens=random.choice((0, 0, 0, 100, 150, 300)),
        affinity=random.choice((0, random.getrandbits(32))),
    )


def _conditions(random: Random, targets: list[Target]) -> Conditions:
    return Conditions(
        active={each.id: random.randint(1, 3) for each in targets if random.random() < 0.3},
        unreachable={each.endpoint: "gone" for each in targets if random.random() < 0.1},
        gone={each.id: "refused" for each in targets if random.random() < 0.05},
        ejected={(each.id, model): "failed" for each in targets for model in "mn" if random.random() < 0.15},
        paused={(each.id, model): "asked" for each in targets for model in "mn" if random.random() < 0.05},
        slow={
            model: {each.id: random.random() for each in targets if random.random() < 0.5}
            for model in random.sample("mn", random.choice((0, 0, 1, 2)))
        },
        turn=random.randrange(10),
    )


def _some(random: Random, names: tuple[str, ...], values: tuple[T, ...], share: float = 0.3) -> dict[str, T]:
    return {name: random.choice(values) for name in names if random.random() < share}
