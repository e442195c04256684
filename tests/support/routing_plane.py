"""A registry and a router in this process, and a gateway that keeps what it is pushed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from nexus.registry.v1 import instance_pb2 as registry
from nexus.router.v1 import router_pb2
from nexus.router.v1.snapshot_pb2 import Snapshot, Target
from nexus.types.v1.model_pb2 import OPERATION_CHAT, Model
from nexus_mesh.core.errors import MeshError
from nexus_mesh.process.mesh import Mesh
from nexus_mesh.rpc.client import Method
from nexus_mesh.settings.service import ServiceSettings
from nexus_registry.app import open_registry
from nexus_registry.config import RegistrySettings
from nexus_router.app import open_router
from nexus_router.config import RouterSettings
from nexus_routing import Policy
from support.ca import MeshCA
from support.control_plane import Member, serving, settings_of
from support.processes import free_port

ROUTER = "nexus.router.v1.RouterService"
WATCH = Method(ROUTER, "WatchSnapshot", router_pb2.WatchSnapshotRequest, router_pb2.WatchSnapshotResponse)
EXPLAIN = Method(ROUTER, "Explain", router_pb2.ExplainRequest, router_pb2.ExplainResponse)
BOX = "n1/adapter/box#b"


class ControlPlane:
    """A registry and a router in this process, each startable and stoppable; nothing listens where etcd should."""

    def __init__(self, ca: MeshCA, home: Path, stack: AsyncExitStack) -> None:
        self._ca, self._home, self._stack = ca, home, stack
        self._registry_port = free_port()
        self._registry = AsyncExitStack()
        self.router = ""

    @property
    def registry(self) -> str:
        return f"127.0.0.1:{self._registry_port}"

    async def start_registry(self) -> None:
        settings = settings_of(
            RegistrySettings,
            home=self._home,
            port=self._registry_port,
            etcd_endpoints=["127.0.0.1:1"],
            lease_ttl=2,
            keep_alive_interval=0.5,
            load_timeout=0,
        )
        mesh = Mesh(settings, self._ca.identity("registry"))
        await self._registry.enter_async_context(serving(mesh, open_registry))
        self._stack.push_async_callback(self.stop_registry)

    async def stop_registry(self) -> None:
        await self._registry.aclose()

    async def start_router(self) -> None:
        settings = settings_of(
            RouterSettings,
            home=self._home,
            port=0,
            registry=self.registry,
            routing=Policy(aliases={"gpt-4o": "m"}),
        )
        mesh = Mesh(settings, self._ca.identity("router"))
        self.router = await self._stack.enter_async_context(serving(mesh, open_router))

    def adapter(self, name: str = "box") -> Member:
        member = Member(self._ca, self._home, self.registry, name=name)
        self._stack.push_async_callback(member.crash)
        member.say(backend())
        return member

    def gateway(self) -> Gateway:
        gateway = Gateway(self._ca, self._home, self.router)
        self._stack.push_async_callback(gateway.mesh.__aexit__)
        return gateway


class Gateway:
    """Follows the router as a gateway does and keeps every snapshot."""

    def __init__(self, ca: MeshCA, home: Path, router: str) -> None:
        self.mesh = Mesh(settings_of(ServiceSettings, home=home, router=router), ca.identity("gateway"))
        self.snapshots: list[Snapshot] = []
        self.errors: list[MeshError] = []
        self.mesh.spawn(self._follow(), name="snapshots")

    def target(self, target_id: str = BOX) -> Target | None:
        if not self.snapshots:
            return None
        return next((target for target in self.snapshots[-1].targets if target.id == target_id), None)

    def sees(self, state: registry.State, target_id: str = BOX) -> Callable[[], bool]:
        def check() -> bool:
            target = self.target(target_id)
            return target is not None and target.state == state

        return check

    async def _follow(self) -> None:
        follow = self.mesh.control("router").follow
        messages = follow(WATCH, router_pb2.WatchSnapshotRequest, on_error=self.errors.append)
        async for message in messages:
            self.snapshots.append(message.snapshot)


def backend(state: registry.State = registry.STATE_ACTIVE, **load: int) -> registry.Backend:
    model = Model(id="m", operations=[OPERATION_CHAT], loaded=True)
    return registry.Backend(name="b", kind="ollama", state=state, models=[model], load=registry.Load(**load))
