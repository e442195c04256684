"""Pages of the models all backends offer."""

from __future__ import annotations

from nexus.catalog.v1 import catalog_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.rpc import page_size, token_of, words_in

from nexus_inference_adapters.host.host import Host

__all__ = ["list_models"]


def list_models(host: Host, request: catalog_pb2.ListModelsRequest) -> catalog_pb2.ListModelsResponse:
    """One page, by backend, then id. The token names the last row of the page before."""
    size = page_size(request.page_size)
    rows = sorted(_rows(host, request.backend), key=_place)
    if request.page_token:
        after = tuple(words_in(request.page_token, 2))
        rows = [row for row in rows if _place(row) > after]
    token = token_of(*_place(rows[size - 1])) if len(rows) > size else ""
    return catalog_pb2.ListModelsResponse(models=rows[:size], next_page_token=token)


def _rows(host: Host, backend: str) -> list[catalog_pb2.CatalogModel]:
    chosen = [one for one in host.backends if backend in ("", one.config.name)]
    if backend and not chosen:
        raise MeshError(Reason.OBJECT_NOT_FOUND, f"There is no backend {backend[:64]!r} here.")
    return [
        catalog_pb2.CatalogModel(backend=one.config.name, model=offer.model)
        for one in chosen
        for offer in one.inspection.offers
    ]


def _place(row: catalog_pb2.CatalogModel) -> tuple[str, str]:
    return row.backend, row.model.id
