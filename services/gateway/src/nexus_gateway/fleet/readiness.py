"""Which models there are, and what is missing to serve them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nexus_operations import SPECS
from nexus_routing import Endpoint, State, Table

from nexus_gateway.fleet.routing_table import RoutingTable

__all__ = ["ModelRow", "Readiness", "find_model", "list_models", "readiness"]


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One row of the model list. `created` in seconds since the epoch, 0 = no backend knows."""

    id: str
    created: int
    owned_by: str
    operations: frozenset[int] = frozenset()
    parameters: tuple[tuple[int, str], ...] = ()
    """Every JSON Schema that a backend has for an operation's requests, each once."""


def list_models(table: Table) -> list[ModelRow]:
    """Every name a request can use right now, aliases included, by id; those that answer in bytes alone come last.

    Many a program asks the first one a question.
    """
    rows = {name: _row(table, name, name) for name in table.offers if table.operations(name)}
    for alias in table.aliases:
        model = table.resolve(alias)
        if model is not None and model in rows:
            rows[alias] = _row(table, alias, model)
    return sorted(rows.values(), key=lambda row: (all(map(_is_media, row.operations)), row.id))


def _is_media(operation: int) -> bool:
    spec = SPECS.get(operation)
    return spec is not None and spec.makes_bytes


def find_model(table: Table, name: str) -> ModelRow | None:
    """The row of the model a request by this name would go to, under the name it was asked by; None = of none."""
    model = table.resolve(name)
    return _row(table, name, model) if model is not None and table.operations(model) else None


def _row(table: Table, name: str, model: str) -> ModelRow:
    """The same whichever backends come and go, as far as can be: the oldest known date, the first owner by id."""
    offers = table.offers[model]
    created = min((offer.created for _, offer in offers if offer.created), default=0)
    owner = next((offer.owner for _, offer in offers if offer.owner), offers[0][0].kind)
    told = dict.fromkeys(each for _, offer in offers for each in offer.parameters)
    return ModelRow(name, created, owner, table.operations(model), tuple(told))


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
