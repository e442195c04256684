"""A whole gateway in this process, with its HTTP and gRPC doors, before what a bench has behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import openai
from nexus_gateway.app import open_gateway
from nexus_gateway.config import GatewaySettings
from nexus_mesh.process.mesh import Mesh
from nexus_mesh.rpc.server import start_server
from nexus_store.app import open_store
from nexus_store.config import StoreSettings
from support.control_plane import serving, settings_of
from support.gateway_bench import GatewayBench

__all__ = ["Gateway", "gateway", "store_beside"]


@dataclass
class Gateway:
    """A whole gateway in this process."""

    mesh: Mesh[GatewaySettings]
    http: str
    grpc_address: str

    def client(self, key: str = "none") -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"http://{self.http}/v1", api_key=key, max_retries=0)


@asynccontextmanager
async def gateway(bench: GatewayBench, **changes: Any) -> AsyncIterator[Gateway]:
    identity = bench.ca.identity("gateway")
    async with Mesh(bench.settings(**changes), identity) as mesh, open_gateway(mesh) as servicers:
        server = await start_server(servicers, host="127.0.0.1", port=0, identity=identity, denied=set())
        try:
            yield Gateway(mesh, mesh.status.get().endpoints["http"], f"127.0.0.1:{server.port}")
        finally:
            await server.drain(settle=0, grace=0)


@asynccontextmanager
async def store_beside(bench: GatewayBench, served: Gateway, **changes: Any) -> AsyncIterator[None]:
    """A store in this process, which the gateway finds, and which finds the gateway."""
    members = bench.control.registry.members
    members["gateway"] = [served.grpc_address]
    registry = f"127.0.0.1:{bench.control.ports['registry']}"
    settings = settings_of(StoreSettings, home=bench.home / "of-store", port=0, registry=registry, **changes)
    async with serving(Mesh(settings, bench.ca.identity("store")), open_store) as address:
        members["store"] = [address]
        yield
