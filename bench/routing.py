"""Times one routing decision and one compilation at 1,000 targets that all serve the model.

python bench/routing.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

from nexus_routing import (
    Conditions,
    Load,
    Model,
    Operation,
    Requirements,
    State,
    Table,
    Target,
    explain,
    plan,
)

TARGETS = 1_000
ROUNDS = 5_000


def main() -> None:
    targets = [_target(number) for number in range(TARGETS)]
    table = Table(targets, {"gpt-4o": "m"})
    plain = Requirements(Operation.CHAT, "gpt-4o")
    demanding = Requirements(Operation.CHAT, "m", frozenset({1, 5}))
    active = {target.id: number % 7 for number, target in enumerate(targets)}
    busy = Conditions(active=active)
    ejected = Conditions(active=active, ejected={targets[0].id: "failed"})
    _report("plan, all idle", lambda turn: plan(table, plain, Conditions(turn=turn)))
    _report("plan, all busy", lambda turn: plan(table, plain, Conditions(active=busy.active, turn=turn)))
    _report(
        "plan, capabilities", lambda turn: plan(table, demanding, Conditions(active=busy.active, turn=turn))
    )
    _report("plan, one ejected", lambda _: plan(table, plain, ejected))
    _report(
        "plan, unknown model", lambda _: plan(table, Requirements(Operation.CHAT, "x" * 200)), ROUNDS // 10
    )
    _report("explain", lambda _: explain(table, plain, busy), ROUNDS // 50)
    _report("compile", lambda _: Table(targets), 50)


def _report(name: str, call: Callable[[int], object], rounds: int = ROUNDS) -> None:
    times: list[float] = []
    for turn in range(rounds):
        started = time.perf_counter()
        call(turn)
        times.append(time.perf_counter() - started)
    times.sort()
    p50, p99 = times[rounds // 2], times[rounds * 99 // 100]
    print(f"{name:22} p50 {p50 * 1e3:8.3f} ms   p99 {p99 * 1e3:8.3f} ms   n={rounds}")


def _target(number: int) -> Target:
    model = Model("m", frozenset({Operation.CHAT, Operation.COMPLETION}), frozenset({1, 3, 5}), loaded=True)
    return Target(
        id=f"node-{number}/adapter/a#box",
        instance=f"node-{number}/adapter/a",
        address=f"10.0.{number // 250}.{number % 250}:7450",
        server_name=f"a.node-{number}.adapter.nexus.internal",
        backend=f"box-{number}",
        kind="ollama",
        models=(model,),
        state=State.ACTIVE,
        load=Load(number % 5, 0, 8),
    )


if __name__ == "__main__":
    main()
