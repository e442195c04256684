"""The budgets NEXUS is held to, each with where its figure comes from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.measure import Figures

__all__ = ["BUDGETS", "Budget", "Results", "Verdict", "judge"]

Results = Mapping[str, Mapping[str, Figures]]
"""Scenario -> subject -> figures."""

BARE, OURS = "bare backend", "NEXUS"


@dataclass(frozen=True, slots=True)
class Budget:
    """Met when the figure is at most (or, with `at_least`, at least) the target."""

    what: str
    target: float
    unit: str
    figure: Callable[[Results], float]
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    what: str
    target: str
    figure: str
    verdict: str


def _added(scenario: str, metric: str) -> Callable[[Results], float]:
    return lambda found: found[scenario][OURS][metric] - found[scenario][BARE][metric]


def _cpu(scenario: str, unit: str) -> Callable[[Results], float]:
    return lambda found: sum(found[scenario][OURS][f"{role}_cpu_{unit}"] for role in ("gateway", "adapter"))


def _best_rps(name: str) -> Callable[[Results], float]:
    return lambda found: max(found[load][name]["rps"] for load in ("chat-10", "chat-64") if load in found)


def _times(peer: str) -> Callable[[Results], float]:
    return lambda found: _best_rps(OURS)(found) / _best_rps(peer)(found)


def _of_peak(found: Results) -> float:
    """The peak is the best any stream scenario reached: against it a collapse under many streams shows."""
    loads = [found[load][OURS]["chunks_per_s"] for load in found if load.startswith("streams-")]
    return 100 * found["streams-1000"][OURS]["chunks_per_s"] / max(loads)


def _unserved(found: Results) -> float:
    ours = found["streams-1000"][OURS]
    return ours["errors"] + ours["unfinished"]


def _largest(scenario: str, suffix: str) -> Callable[[Results], float]:
    return lambda found: max(value for name, value in found[scenario][OURS].items() if name.endswith(suffix))


def _own(scenario: str, metric: str) -> Callable[[Results], float]:
    return lambda found: found[scenario][OURS][metric]


BUDGETS = (
    Budget("added latency, 1 connection, p50", 2, "ms", _added("chat-1", "p50_ms")),
    Budget("added latency, 1 connection, p99", 10, "ms", _added("chat-1", "p99_ms")),
    Budget("throughput, whole answers", 1000, "req/s", _best_rps(OURS), at_least=True),
    Budget("throughput beside LiteLLM", 20, "x", _times("LiteLLM"), at_least=True),
    Budget("throughput beside Portkey", 2, "x", _times("Portkey"), at_least=True),
    Budget("CPU of gateway + adapter, a whole answer", 1.2, "ms", _cpu("chat-10", "ms")),
    Budget("CPU of gateway + adapter, a streamed chunk", 150, "us", _cpu("streams-200", "us")),
    Budget("added time to first token, 50 streams, p50", 4, "ms", _added("streams-50", "ttft_p50_ms")),
    Budget("1,000 streams: errors and unfinished", 0, "", _unserved),
    Budget("1,000 streams: chunks/s of the peak", 70, "%", _of_peak, at_least=True),
    Budget("routing decision, 1,000 targets, p99", 0.2, "ms", _own("routing", "plan_p99_ms")),
    Budget("the same while every target is full", 0.2, "ms", _own("routing", "saturated, all full, p99_ms")),
    Budget("10x overload: goodput of the peak", 80, "%", _own("overload", "goodput_percent"), at_least=True),
    Budget("10x overload: refused, p99", 100, "ms", _own("overload", "refused_p99_ms")),
    Budget(
        "10x overload: served, p99 of the normal one", 2, "x", _own("overload", "served_p99_times_normal")
    ),
    Budget("10x overload: until all is as before", 10, "s", _own("overload", "recovery_s")),
    Budget("memory at rest, the largest service", 80, "MiB", _largest("memory", "_mib")),
    Budget("memory grown over the requests", 2, "MiB", _largest("growth", "_grown_mib")),
    Budget("`nexus version`, CPU", 200, "ms", _own("front", "version, cpu_ms")),
    Budget("Tab for a model's name, wall", 300, "ms", _own("front", "tab, a model, wall_ms")),
    Budget("`nexus up` to first token, warm", 5, "s", _own("start", "warm_s")),
    Budget("new backend, registry to gateway", 1000, "ms", _own("visibility", "new_max_ms")),
    Budget("dead backend, registry to gateway", 1000, "ms", _own("visibility", "dead_max_ms")),
    Budget("policy push to effect, median", 100, "ms", _own("policy", "push_ms")),
    Budget("announced engine, first word to routable", 2000, "ms", _own("mdns", "routable_ms")),
)


def judge(found: Results) -> list[Verdict]:
    """Every budget with its figure; "not measured" where its scenario or a peer was left out."""
    return [_verdict(budget, found) for budget in BUDGETS]


def _verdict(budget: Budget, found: Results) -> Verdict:
    target = f"{'>=' if budget.at_least else '<='} {budget.target:g} {budget.unit}".strip()
    try:
        figure = budget.figure(found)
    except (KeyError, ValueError, ZeroDivisionError):
        figure = math.nan
    if math.isnan(figure):
        return Verdict(budget.what, target, "-", "not measured")
    met = figure >= budget.target if budget.at_least else figure <= budget.target
    return Verdict(budget.what, target, f"{figure:.4g} {budget.unit}".strip(), "met" if met else "MISSED")
