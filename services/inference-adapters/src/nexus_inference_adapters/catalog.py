"""Pages of the models all backends offer."""

from __future__ import annotations

import base64
import binascii

from nexus.catalog.v1 import catalog_pb2
from nexus_mesh.errors import MeshError, Reason

from nexus_inference_adapters.host import Host

__all__ = ["list_models"]

DEFAULT_PAGE = 100
MAX_PAGE = 1000


def list_models(host: Host, request: catalog_pb2.ListModelsRequest) -> catalog_pb2.ListModelsResponse:
    """One page, by backend, then id. The token names the last row of the page before."""
    if request.page_size < 0:
        raise MeshError(
            Reason.INVALID_REQUEST, "page_size must not be negative.", metadata={"param": "page_size"}
        )
    size = min(request.page_size or DEFAULT_PAGE, MAX_PAGE)
    rows = sorted(_rows(host, request.backend), key=_place)
    if request.page_token:
        after = _decode(request.page_token)
        rows = [row for row in rows if _place(row) > after]
    token = _encode(_place(rows[size - 1])) if len(rows) > size else ""
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


def _encode(place: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode("\n".join(place).encode()).decode()


def _decode(token: str) -> tuple[str, str]:
    try:
        backend, model = base64.urlsafe_b64decode(token).decode().split("\n", 1)
    except (ValueError, binascii.Error):
        raise MeshError(
            Reason.INVALID_REQUEST, "page_token is not one of ours.", metadata={"param": "page_token"}
        ) from None
    return backend, model
