"""The models of the mesh as clients see them."""

from __future__ import annotations

from dataclasses import dataclass

from nexus_routing import Table

__all__ = ["ModelRow", "find_model", "list_models"]


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One row of the model list. `created` in seconds since the epoch, 0 = no backend knows."""

    id: str
    created: int
    owned_by: str


def list_models(table: Table) -> list[ModelRow]:
    """Every name a request can use right now, aliases included, by id."""
    rows = {name: _row(table, name, name) for name in table.offers if table.operations(name)}
    for alias in table.aliases:
        model = table.resolve(alias)
        if model is not None and model in rows:
            rows[alias] = _row(table, alias, model)
    return [rows[name] for name in sorted(rows)]


def find_model(table: Table, name: str) -> ModelRow | None:
    """The row of the model a request by this name would go to, under the name it was asked by; None = of none."""
    model = table.resolve(name)
    return _row(table, name, model) if model is not None and table.operations(model) else None


def _row(table: Table, name: str, model: str) -> ModelRow:
    """The same whichever backends come and go, as far as can be: the oldest known date, the first owner by id."""
    offers = table.offers[model]
    created = min((offer.created for _, offer in offers if offer.created), default=0)
    return ModelRow(
        name, created, next((offer.owner for _, offer in offers if offer.owner), offers[0][0].kind)
    )
