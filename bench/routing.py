"""CPU time of one routing decision and one compilation at 1,000 targets that all serve the model.

python -m bench.routing
"""

from __future__ import annotations

import time
from collections.abc import Callable

from nexus_routing import (
    Conditions,
    Load,
    Model,
    Operation,
    Policy,
    Requirements,
    Rule,
    Scope,
    State,
    Table,
    Target,
    Tariff,
    explain,
    plan,
)

TARGETS = 1_000
ROUNDS = 5_000


__all__ = ["decisions"]


def main() -> None:
    for name, (p50, p99, rounds) in decisions().items():
        print(f"{name:22} p50 {p50:8.3f} ms   p99 {p99:8.3f} ms   n={rounds}")


def decisions() -> dict[str, tuple[float, float, int]]:
    """What was timed -> p50 and p99 in milliseconds, and how often."""
    targets = [_target(number) for number in range(TARGETS)]
    table = Table(targets, Policy(aliases={"gpt-4o": "m"}))
    strict = Table(targets, _every_stage())
    priced = Table(targets, _prices())
    plain = Requirements(Operation.CHAT, "gpt-4o")
    demanding = Requirements(Operation.CHAT, "m", frozenset({1, 5}))
    active = {target.id: number % 7 for number, target in enumerate(targets)}
    full = dict.fromkeys(active, 9)
    busy = Conditions(active=active)
    ejected = Conditions(active=active, ejected={(targets[0].id, "m"): "failed"})
    return {
        "plan, all idle": _timed(lambda turn: plan(table, plain, Conditions(turn=turn))),
        "plan, all busy": _timed(lambda turn: plan(table, plain, Conditions(active=busy.active, turn=turn))),
        "plan, capabilities": _timed(
            lambda turn: plan(table, demanding, Conditions(active=busy.active, turn=turn))
        ),
        "saturated, all full": _timed(lambda turn: plan(table, plain, Conditions(active=full, turn=turn))),
        "plan, every stage": _timed(
            lambda turn: plan(
                strict,
                Requirements(Operation.CHAT, "gpt-4o", tenant="t", tokens=900, affinity=turn * 977),
                Conditions(active=busy.active, turn=turn),
            )
        ),
        "plan, prices": _timed(lambda turn: plan(priced, plain, Conditions(active=busy.active, turn=turn))),
        "saturated, prices": _timed(lambda turn: plan(priced, plain, Conditions(active=full, turn=turn))),
        "plan, one ejected": _timed(lambda _: plan(table, plain, ejected)),
        "plan, unknown model": _timed(
            lambda _: plan(table, Requirements(Operation.CHAT, "x" * 200)), ROUNDS // 10
        ),
        "explain": _timed(lambda _: explain(table, plain, busy), ROUNDS // 50),
        "compile": _timed(lambda _: Table(targets), 50),
    }


def _every_stage() -> Policy:
    """A policy that has something to say at each stage."""
    rules = tuple(
        Rule(
            name=f"r{number}",
            models=("gpt*",),
            tenants=("t",),
            never=Scope(hosts=(f"h{number}",)),
        )
        for number in range(20)
    )
    return Policy(
        aliases={"gpt-4o": "m"},
        zones={"m": "zone"},
        fallbacks={"gpt-4o": ("n", "m:2")},
        tiers={"gpt-4o": "standard"},
        rules=rules,
    )


def _prices() -> Policy:
    """A price for each of a hundred targets, ten different ones, and one for all others."""
    prices = tuple(
        Tariff(input=number % 10, output=1, hosts=(f"node-{number}",)) for number in range(TARGETS // 10)
    )
    return Policy(aliases={"gpt-4o": "m"}, prices=(*prices, Tariff(models=("m*",), input=1, output=2)))


def _timed(call: Callable[[int], object], rounds: int = ROUNDS) -> tuple[float, float, int]:
    times: list[float] = []
    for turn in range(rounds):
        started = time.thread_time()
        call(turn)
        times.append(time.thread_time() - started)
    times.sort()
    return times[rounds // 2] * 1e3, times[rounds * 99 // 100] * 1e3, rounds


def _target(number: int) -> Target:
    model = Model(
        "m", frozenset({Operation.CHAT, Operation.COMPLETION}), frozenset({1, 3, 5}), 8192, loaded=True
    )
    return Target(
        id=f"node-{number}/adapter/a#box",
        instance=f"node-{number}/adapter/a",
        address=f"10.0.{number // 250}.{number % 250}:7450",
        server_name=f"a.node-{number}.adapter.nexus.internal",
        backend=f"box-{number}",
        kind="ollama",
        models=(model,),
        state=State.ACTIVE,
        zone="zone",
        tier="standard",
        load=Load(number % 5, 0, 8),
    )


if __name__ == "__main__":
    main()
