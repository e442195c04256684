"""Puts the router together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from nexus.registry.v1 import registry_pb2
from nexus.router.v1.router_pb2_grpc import add_RouterServiceServicer_to_server
from nexus.router.v1.snapshot_pb2 import Snapshot
from nexus_mesh.client import Method
from nexus_mesh.errors import MeshError, Reason
from nexus_mesh.service import Mesh, Servicer

from nexus_router.compiling import compile_snapshot
from nexus_router.config import RouterSettings
from nexus_router.health import Health
from nexus_router.metrics import REGISTRY_CONNECTED
from nexus_router.mirror import Effect, Mirror
from nexus_router.publisher import Publisher
from nexus_router.service import RouterServicer

WATCH = Method(
    "nexus.registry.v1.RegistryService", "Watch", registry_pb2.WatchRequest, registry_pb2.WatchResponse
)


@asynccontextmanager
async def open_router(mesh: Mesh[RouterSettings]) -> AsyncIterator[Sequence[Servicer]]:
    """Serves at once; NOT_READY until the registry was heard."""
    mirror, health = Mirror(mesh.settings.resync_grace), Health()
    routing = mesh.settings.routing

    def compile_now() -> tuple[Snapshot, float | None]:
        now = asyncio.get_running_loop().time()
        moments = [mirror.expire(now)]
        snapshot = compile_snapshot(mirror.instances.values(), routing, health, now)
        health.forget(mirror.instances, now)
        moments.append(health.next_due())
        return snapshot, min((moment for moment in moments if moment is not None), default=None)

    publisher = Publisher(compile_now)
    mesh.spawn(publisher.run(), name="publisher")
    mesh.spawn(_follow(mesh, mirror, publisher), name="registry watch")
    yield [Servicer(RouterServicer(publisher), add_RouterServiceServicer_to_server)]


async def _follow(mesh: Mesh[RouterSettings], mirror: Mirror, publisher: Publisher) -> None:
    def on_error(error: MeshError) -> None:
        if error.reason is Reason.REVISION_EXPIRED:
            mirror.restart()

    clock = asyncio.get_running_loop().time
    messages = mesh.control("registry").follow(
        WATCH, mirror.request, on_state=REGISTRY_CONNECTED.set, on_error=on_error
    )
    async for message in messages:
        effect = mirror.apply(message, clock())
        if effect is not Effect.NOTHING:
            publisher.touch(urgent=effect is Effect.SHAPE)
