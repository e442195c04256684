"""From an adapter's word to a gateway's snapshot, through a real registry and router over mutual TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from nexus.registry.v1 import instance_pb2 as registry
from nexus.router.v1 import router_pb2
from nexus.router.v1.snapshot_pb2 import Snapshot, Target
from nexus.types.v1.model_pb2 import OPERATION_CHAT, Model
from nexus_mesh.client import Method
from nexus_mesh.config import ServiceSettings
from nexus_mesh.errors import MeshError, Reason
from nexus_mesh.mesh import Mesh
from nexus_registry.app import open_registry
from nexus_registry.config import RegistrySettings
from nexus_router.app import open_router
from nexus_router.config import RouterSettings, RoutingSettings
from support.ca import MeshCA
from support.control_plane import Member, serving, settings_of
from support.processes import free_port
from support.waiting import eventually

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
            routing=RoutingSettings(aliases={"gpt-4o": "m"}),
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


@pytest_asyncio.fixture
async def plane(tmp_path: Path, mesh_ca: MeshCA) -> AsyncIterator[ControlPlane]:
    """A running registry and router."""
    async with AsyncExitStack() as stack:
        plane = ControlPlane(mesh_ca, tmp_path, stack)
        await plane.start_registry()
        await plane.start_router()
        yield plane


async def test_an_adapters_word_reaches_the_gateway(plane: ControlPlane) -> None:
    gateway, adapter = plane.gateway(), plane.adapter()
    await eventually(gateway.sees(registry.STATE_ACTIVE))
    target = gateway.target()
    assert target is not None
    assert [model.id for model in target.models] == ["m"]
    assert dict(gateway.snapshots[-1].aliases) == {"gpt-4o": "m"}
    adapter.say(backend(registry.STATE_UNHEALTHY))
    await eventually(gateway.sees(registry.STATE_UNHEALTHY))
    adapter.say(backend())
    await eventually(gateway.sees(registry.STATE_ACTIVE))
    versions = [snapshot.version for snapshot in gateway.snapshots]
    assert versions == sorted(set(versions))


async def test_load_reaches_the_gateway(plane: ControlPlane) -> None:
    gateway, adapter = plane.gateway(), plane.adapter()
    await eventually(gateway.sees(registry.STATE_ACTIVE))
    adapter.say(backend(active=3, capacity=4))
    await eventually(lambda: (target := gateway.target()) is not None and target.load.active == 3)


async def test_a_crashed_adapter_is_not_used_and_then_gone(plane: ControlPlane) -> None:
    gateway, adapter = plane.gateway(), plane.adapter()
    await eventually(gateway.sees(registry.STATE_ACTIVE))
    await adapter.crash()
    await eventually(gateway.sees(registry.STATE_UNHEALTHY))
    await eventually(lambda: gateway.target() is None, timeout=20)


async def test_an_adapter_that_leaves_is_gone(plane: ControlPlane) -> None:
    gateway, adapter = plane.gateway(), plane.adapter()
    await eventually(gateway.sees(registry.STATE_ACTIVE))
    await adapter.leave()
    await eventually(lambda: gateway.target() is None)


async def test_without_the_registry_the_last_snapshot_is_served(plane: ControlPlane) -> None:
    early = plane.gateway()
    plane.adapter()
    await eventually(early.sees(registry.STATE_ACTIVE))
    await plane.stop_registry()
    late = plane.gateway()
    await eventually(late.sees(registry.STATE_ACTIVE))
    assert early.sees(registry.STATE_ACTIVE)()


async def test_a_registry_that_lost_its_memory_takes_no_target_away(plane: ControlPlane) -> None:
    gateway = plane.gateway()
    first, second = plane.adapter("box"), plane.adapter("crate")
    await eventually(gateway.sees(registry.STATE_ACTIVE))
    await eventually(gateway.sees(registry.STATE_ACTIVE, "n1/adapter/crate#b"))
    seen = len(gateway.snapshots)
    await plane.stop_registry()
    await plane.start_registry()
    await eventually(lambda: first.registration.connected and second.registration.connected, timeout=20)
    first.say(backend(active=1))
    await eventually(lambda: (target := gateway.target()) is not None and target.load.active == 1, timeout=20)
    assert all(len(snapshot.targets) == 2 for snapshot in gateway.snapshots[seen:])
    usable = {target.state for snapshot in gateway.snapshots[seen:] for target in snapshot.targets}
    assert usable == {registry.STATE_ACTIVE}


async def test_before_the_registry_was_heard_it_is_not_ready(tmp_path: Path, mesh_ca: MeshCA) -> None:
    async with AsyncExitStack() as stack:
        plane = ControlPlane(mesh_ca, tmp_path, stack)
        await plane.start_router()
        gateway = plane.gateway()
        await eventually(lambda: gateway.errors)
        assert {error.reason for error in gateway.errors} == {Reason.NOT_READY}
        with pytest.raises(MeshError) as caught:
            await gateway.mesh.control("router").unary(EXPLAIN, router_pb2.ExplainRequest(), timeout=5)
        assert caught.value.reason is Reason.NOT_READY
        await plane.start_registry()
        await eventually(lambda: gateway.snapshots, timeout=20)


async def test_explain(plane: ControlPlane) -> None:
    gateway = plane.gateway()
    plane.adapter("box")
    plane.adapter("crate").say(backend(registry.STATE_UNHEALTHY))
    await eventually(gateway.sees(registry.STATE_ACTIVE))
    await eventually(gateway.sees(registry.STATE_UNHEALTHY, "n1/adapter/crate#b"))
    request = router_pb2.ExplainRequest(operation=OPERATION_CHAT, model="gpt-4o")
    response = await gateway.mesh.control("router").unary(EXPLAIN, request, timeout=5)
    assert response.model == "m"
    assert [(each.target, each.rank, each.stage) for each in response.candidates] == [
        (BOX, 1, ""),
        ("n1/adapter/crate#b", 0, "state"),
    ]


async def test_many_gateways_get_the_same(plane: ControlPlane) -> None:
    gateways = [plane.gateway() for _ in range(8)]
    plane.adapter()
    await asyncio.gather(*(eventually(gateway.sees(registry.STATE_ACTIVE)) for gateway in gateways))
    assert len({gateway.snapshots[-1].SerializeToString(deterministic=True) for gateway in gateways}) == 1
