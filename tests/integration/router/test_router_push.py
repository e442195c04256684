"""From an adapter's word to a gateway's snapshot, through a real registry and router over mutual TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from nexus.registry.v1 import instance_pb2 as registry
from nexus.router.v1 import router_pb2
from nexus.types.v1.model_pb2 import OPERATION_CHAT
from nexus_mesh.core.errors import MeshError, Reason
from support.ca import MeshCA
from support.routing_plane import BOX, EXPLAIN, ControlPlane, backend
from support.waiting import eventually


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
