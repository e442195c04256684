"""GET models and models/{id}: the mesh's own list, one row per name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec
from msgspec import Struct

from nexus_gateway.access import Principal
from nexus_gateway.dialects.dialect import ModelRow
from nexus_gateway.dialects.errors import unknown_url
from nexus_gateway.http import Exchange


class Model(Struct):
    """A model that can be asked for by its `id`. `created` in Unix seconds, 0 = nobody knows."""

    id: str
    created: int
    owned_by: str
    object: str = "model"


class ModelList(Struct):
    data: list[Model]
    object: str = "list"


class Catalog(Protocol):
    """The part of the pipeline these routes use."""

    def models(self, principal: Principal | None = None) -> Iterable[ModelRow]: ...

    def model(self, name: str, principal: Principal) -> ModelRow: ...


class ModelRoutes:
    """The two handlers."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def list(self, exchange: Exchange) -> None:
        rows = [_row(model) for model in self._catalog.models(exchange.caller)]
        await exchange.respond(200, msgspec.json.encode(ModelList(rows)))

    async def retrieve(self, exchange: Exchange) -> None:
        wanted = exchange.scope["path_params"]["model_id"]
        if not wanted:
            raise unknown_url()
        model = self._catalog.model(wanted, exchange.caller)
        await exchange.respond(200, msgspec.json.encode(_row(model)))


def _row(model: ModelRow) -> Model:
    return Model(model.id, int(model.created), model.owned_by)
