"""A real store before a gateway of the bench, told to it by the bench's registry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from nexus.registry.v1 import instance_pb2
from nexus_mesh.process.mesh import Mesh
from nexus_store.app import open_store
from nexus_store.config import StoreSettings
from support.control_plane import serving, settings_of
from support.gateway_bench import GatewayBench

__all__ = ["store"]


@asynccontextmanager
async def store(bench: GatewayBench, zone: str = "default", **changes: Any) -> AsyncIterator[str]:
    """Its address, once the registry lists it."""
    identity = bench.ca.identity("store", zone=zone)
    mesh = Mesh(settings_of(StoreSettings, home=bench.home, **{"port": 0, **changes}), identity)
    async with serving(mesh, open_store) as address:
        bench.control.registry.instances = [
            instance_pb2.Instance(
                id=identity.spiffe.instance_id,
                role="store",
                zone=zone,
                address=address,
                server_name=identity.spiffe.server_name,
                register_time=Timestamp(seconds=1),
                status=instance_pb2.Status(state=instance_pb2.STATE_ACTIVE),
                connected=True,
            )
        ]
        yield address
    bench.control.registry.instances = []
