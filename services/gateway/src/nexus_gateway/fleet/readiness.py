"""Whether requests can be served, and if not, what is missing first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nexus_routing import Endpoint, State

from nexus_gateway.fleet.models import list_models
from nexus_gateway.fleet.routing_table import RoutingTable

__all__ = ["Readiness", "readiness"]


@dataclass(frozen=True, slots=True)
class Readiness:
    """`missing` has sentences, the root of the trouble first; empty when ready.

    `from_saved_snapshot`: the router has not been heard since the start. `snapshot_age_seconds` is 0 while its
    watch is open, None without any snapshot.
    """

    ready: bool
    missing: list[str]
    from_saved_snapshot: bool = False
    snapshot_age_seconds: float | None = None


def readiness(table: RoutingTable, reached: Callable[[Endpoint], bool], *, draining: bool) -> Readiness:
    """What the gateway lacks to serve. `reached`: whether the connection to an adapter stands."""
    if table.snapshot is None:
        return Readiness(False, ["no routing snapshot: the router has not been heard yet"])
    missing = ["shutting down"] if draining else []
    if not list_models(table.table):
        missing += ["no usable model", *_unusable(table)]
    elif not any(map(reached, serving := _serving(table))):
        missing += [f"no connection to {instance} yet" for instance in sorted(set(serving.values()))]
    return Readiness(not missing, missing, table.saved, round(table.age(), 1))


def _serving(table: RoutingTable) -> dict[Endpoint, str]:
    """Where a request could go now, and whose endpoint that is."""
    return {
        one.endpoint: one.instance for one in table.table.targets if one.state == State.ACTIVE and one.models
    }


def _unusable(table: RoutingTable) -> list[str]:
    if not table.table.targets:
        return ["no backend is registered: is an adapter running?"]
    return [
        f"backend {target.backend} on {target.instance} is {State(target.state).name.lower()}: "
        f"{target.state_reason or 'no reason given'}"
        if target.state != State.ACTIVE
        else f"backend {target.backend} on {target.instance} offers no models"
        for target in table.table.targets
    ]
