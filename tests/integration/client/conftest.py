"""A whole gateway with one backend, and clients that reach it either way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from nexus.types.v1 import model_pb2
from nexus.vault.v1 import tenants_pb2
from nexus_client import AsyncClient
from nexus_mesh.core import MeshError
from nexus_mesh.identity import tls
from support.gateway_bench import GatewayBench, open_bench
from support.scripted_adapter import ScriptedAdapter
from support.waiting import eventually
from support.whole_gateway import gateway


@dataclass(frozen=True)
class Scene:
    """`http` and `grpc` are host:port of the gateway's doors; `identity` the folder of a client of tenant "acme"."""

    bench: GatewayBench
    box: ScriptedAdapter
    http: str
    grpc: str
    identity: Path

    def by_key(self) -> AsyncClient:
        return AsyncClient.by_key(f"http://{self.http}")

    def by_identity(self) -> AsyncClient:
        return AsyncClient.by_identity(self.grpc, self.identity)

    def by(self, way: str) -> AsyncClient:
        return WAYS[way](self)


WAYS: dict[str, Callable[[Scene], AsyncClient]] = {"key": Scene.by_key, "identity": Scene.by_identity}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with open_bench(tmp_path) as bench:
        box = await bench.adapter("box")
        operations = (
            model_pb2.OPERATION_CHAT,
            model_pb2.OPERATION_EMBEDDING,
            model_pb2.OPERATION_SPEECH,
            model_pb2.OPERATION_IMAGE,
            model_pb2.OPERATION_IMAGE_EDIT,
        )
        async with gateway(bench) as running:
            bench.control.vault.show_tenants(tenants_pb2.Tenant(id="t1", name="acme", weight=1))
            bench.control.router.show(box.target(operations=operations))
            folder = tmp_path / "client"
            tls.store(folder, bench.ca.client("acme", "t1").material)
            made = Scene(bench, box, running.http, running.grpc_address, folder)
            await eventually(lambda: _serves(made), timeout=20, what="the gateway serving")
            box.seen.clear()
            yield made


@pytest.fixture(params=sorted(WAYS))
async def client(scene: Scene, request: pytest.FixtureRequest) -> AsyncIterator[AsyncClient]:
    async with WAYS[request.param](scene) as opened:
        yield opened


async def _serves(scene: Scene) -> bool:
    try:
        async with scene.by_identity() as client:
            await client.complete("m", "hi")
    except MeshError:
        return False
    return True
