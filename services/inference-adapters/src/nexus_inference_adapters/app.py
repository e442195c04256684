"""Puts the adapter process together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from nexus.catalog.v1 import catalog_pb2_grpc
from nexus.inference.v1 import inference_pb2_grpc
from nexus_mesh import telemetry
from nexus_mesh.service import Mesh, Servicer

from nexus_inference_adapters.config import AdapterSettings
from nexus_inference_adapters.discovery import Rescan
from nexus_inference_adapters.host import Host
from nexus_inference_adapters.service import CatalogServicer, InferenceServicer

__all__ = ["open_adapter"]

log = telemetry.logger("adapter")


@asynccontextmanager
async def open_adapter(mesh: Mesh[AdapterSettings]) -> AsyncIterator[Sequence[Servicer]]:
    """The servicers of an adapter; its backends run as long as the context."""
    spiffe = mesh.identity.spiffe
    async with Host(mesh.settings, mesh.status) as host:
        for config in mesh.settings.backends:
            if config.zone in (None, spiffe.zone):
                host.add(config)
            else:
                # The certificate decides the zone: serving it here would show it in a zone it is not in.
                log.info("backend of another zone left out", backend=config.name, zone=config.zone)
        if mesh.settings.discovery:
            mesh.spawn(Rescan(host, mesh.settings).run(), name="discovery")
        yield [
            Servicer(
                InferenceServicer(host, spiffe.instance_id),
                inference_pb2_grpc.add_InferenceServiceServicer_to_server,
            ),
            Servicer(CatalogServicer(host), catalog_pb2_grpc.add_CatalogServiceServicer_to_server),
        ]
