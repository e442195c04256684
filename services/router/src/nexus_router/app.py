"""Puts the router together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from nexus.registry.v1 import registry_pb2
from nexus.router.v1.policy_pb2_grpc import add_PolicyServiceServicer_to_server
from nexus.router.v1.router_pb2_grpc import add_RouterServiceServicer_to_server
from nexus.router.v1.snapshot_pb2 import Snapshot
from nexus_mesh.core import MeshError, Reason, exclusive, private_folder
from nexus_mesh.process import Mesh, Servicer
from nexus_mesh.rows import RowGuard
from nexus_mesh.rpc import Method

from nexus_router.compiling import compile_snapshot, prove
from nexus_router.config import RouterSettings
from nexus_router.health import Health
from nexus_router.metrics import REGISTRY_CONNECTED
from nexus_router.mirror import Effect, Mirror
from nexus_router.policy import Policies, PolicyStore, RevisionFiles
from nexus_router.publisher import Publisher
from nexus_router.service import PolicyServicer, RouterServicer

WATCH = Method(
    "nexus.registry.v1.RegistryService", "Watch", registry_pb2.WatchRequest, registry_pb2.WatchResponse
)


@asynccontextmanager
async def open_router(mesh: Mesh[RouterSettings]) -> AsyncIterator[Sequence[Servicer]]:
    """Serves at once; snapshots are NOT_READY until the registry was heard. Raises MeshError, OSError."""
    async with _policies(mesh.settings) as policies:
        publisher = _publisher(mesh, policies)
        yield [
            Servicer(RouterServicer(publisher), add_RouterServiceServicer_to_server),
            Servicer(PolicyServicer(policies), add_PolicyServiceServicer_to_server),
        ]


@asynccontextmanager
async def _policies(settings: RouterSettings) -> AsyncIterator[Policies]:
    """The stored policy, which this process alone works with."""
    private_folder(settings.policy_folder)
    with exclusive(settings.policy_folder, "router"):
        store = PolicyStore(RevisionFiles(settings.policy_folder), settings.routing, prove)
        policies = Policies(store)
        await policies.open()
        try:
            yield policies
        finally:
            await policies.close()


def _publisher(mesh: Mesh[RouterSettings], policies: Policies) -> Publisher:
    """Publishes when the registry's table or the policy has changed."""
    guard = RowGuard(mesh.identity.spiffe.trust_domain, "registry")
    mirror, health = Mirror(mesh.settings.resync_grace, guard.admits), Health()

    def compile_now() -> tuple[Snapshot, float | None]:
        now = asyncio.get_running_loop().time()
        moments = [mirror.expire(now)]
        revision = policies.current
        snapshot = compile_snapshot(mirror.instances.values(), revision.policy, health, now)
        snapshot.policy_revision = revision.number
        health.forget(mirror.instances, now)
        moments.append(health.next_due())
        return snapshot, min((moment for moment in moments if moment is not None), default=None)

    def policy_changed() -> None:
        if mirror.synced:  # before, there is nothing to publish
            publisher.touch(urgent=True)

    publisher = Publisher(compile_now)
    policies.changed = policy_changed
    mesh.spawn(publisher.run(), name="publisher")
    mesh.spawn(_follow(mesh, mirror, publisher), name="registry watch")
    return publisher


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
