"""open_adapter on a real mesh server, and a gateway's connection to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nexus.registry.v1 import instance_pb2
from nexus_inference_adapters.app import open_adapter
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.config import AdapterSettings
from nexus_mesh.process.mesh import Mesh
from nexus_mesh.rpc.client import Peer
from nexus_mesh.rpc.server import start_server
from support.ca import MeshCA
from support.waiting import eventually

__all__ = ["serve_adapter_process"]


@asynccontextmanager
async def serve_adapter_process(
    home: Path, *backends: BackendConfig, authority: MeshCA | None = None, **settings: Any
) -> AsyncIterator[tuple[Peer, Mesh[AdapterSettings]]]:
    """Waits until every backend that is served is active. `authority`: the mesh it is of; else one of its own."""
    authority = authority or MeshCA()
    identity = authority.identity("adapter")
    rows = [backend.model_dump() for backend in backends]
    told = AdapterSettings(home=home, backends=rows, **settings)  # pyright: ignore[reportCallIssue, reportArgumentType]
    async with Mesh(told, identity) as mesh, open_adapter(mesh) as servicers:
        server = await start_server(servicers, host="127.0.0.1", port=0, identity=identity, denied=set())
        peer = Peer(f"127.0.0.1:{server.port}", identity.spiffe.server_name, authority.identity("gateway"))
        try:
            await eventually(
                lambda: all(one.state == instance_pb2.STATE_ACTIVE for one in mesh.status.get().backends),
                what="all backends to be active",
            )
            yield peer, mesh
        finally:
            await peer.close()
            await server.drain(settle=0, grace=1)
