"""From an operator's word to a gateway's snapshot, through a real router over mutual TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from nexus.router.v1 import router_pb2
from nexus.types.v1.model_pb2 import OPERATION_CHAT
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.identity.spiffe import role_server_name
from nexus_mesh.rpc.client import Peer
from support.ca import MeshCA
from support.policy_client import PolicyClient, aliases
from support.routing_plane import EXPLAIN, ControlPlane, Gateway
from support.waiting import eventually

OF_TOML = {"gpt-4o": "m"}


@pytest_asyncio.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest_asyncio.fixture
async def plane(tmp_path: Path, mesh_ca: MeshCA, stack: AsyncExitStack) -> ControlPlane:
    """A running registry and router."""
    plane = ControlPlane(mesh_ca, tmp_path, stack)
    await plane.start_registry()
    await plane.start_router()
    return plane


@pytest_asyncio.fixture
async def operator(plane: ControlPlane, mesh_ca: MeshCA, stack: AsyncExitStack) -> PolicyClient:
    peer = Peer(
        plane.router, role_server_name("router", "nexus.internal"), mesh_ca.identity("operator", "local")
    )
    stack.push_async_callback(peer.close)
    return PolicyClient(peer)


def has(gateway: Gateway, revision: int, **names: str) -> Callable[[], bool]:
    def check() -> bool:
        newest = gateway.snapshots[-1] if gateway.snapshots else None
        return newest is not None and (newest.policy_revision, dict(newest.aliases)) == (revision, names)

    return check


async def test_what_is_set_reaches_gateways_and_explain(plane: ControlPlane, operator: PolicyClient) -> None:
    gateway = plane.gateway()
    await eventually(has(gateway, 0, **OF_TOML))
    policy = await operator.set(aliases(a="m"), comment="first")
    assert (policy.revision.number, policy.revision.comment) == (1, "first")
    assert policy.revision.author == "spiffe://nexus.internal/zone/default/node/n1/operator/local"
    await eventually(has(gateway, 1, a="m"))
    request = router_pb2.ExplainRequest(operation=OPERATION_CHAT, model="a")
    explained = await gateway.mesh.control("router").unary(EXPLAIN, request, timeout=5)
    assert explained.policy_revision == 1
    await operator.rollback()
    await eventually(has(gateway, 2, **OF_TOML))
    await operator.rollback(1)
    await eventually(has(gateway, 3, a="m"))
    await operator.reset()
    await eventually(has(gateway, 4, **OF_TOML))


async def test_it_says_what_is_in_force_and_whether_nexus_toml_differs(operator: PolicyClient) -> None:
    got = await operator.get()
    assert (got.revision_in_force, got.differs_from_file, got.problem) == (0, False, "")
    await operator.set(aliases(a="m"))
    got = await operator.get()
    assert (got.revision_in_force, got.differs_from_file) == (1, True)
    file = await operator.get(0)
    assert (file.policy.json, file.policy.etag, file.differs_from_file) == (
        '{"aliases": {"gpt-4o": "m"}}',
        "",
        False,
    )
    await operator.reset()
    got = await operator.get()
    assert (got.policy.revision.reset, got.differs_from_file) == (True, False)


async def test_a_bad_one_is_refused_with_the_old_in_force(
    plane: ControlPlane, operator: PolicyClient
) -> None:
    gateway = plane.gateway()
    await operator.set(aliases(a="m"))
    await eventually(has(gateway, 1, a="m"))
    for bad in (aliases(a="b", b="a"), '{"unknown": 1}', "{", ""):
        with pytest.raises(MeshError) as caught:
            await operator.set(bad)
        assert caught.value.reason is Reason.INVALID_REQUEST
    assert (await operator.get()).revision_in_force == 1
    await operator.set(aliases(a="n"))
    await eventually(has(gateway, 2, a="n"))
    assert [snapshot.policy_revision for snapshot in gateway.snapshots][-2:] == [1, 2]


async def test_of_two_writers_who_read_the_same_one_wins(operator: PolicyClient) -> None:
    etag = await operator.etag()
    names = [f"m{number}" for number in range(8)]
    outcomes = await asyncio.gather(
        *(operator.set(aliases(a=name), etag) for name in names), return_exceptions=True
    )
    (winner,) = [name for name, one in zip(names, outcomes, strict=True) if not isinstance(one, MeshError)]
    assert {one.reason for one in outcomes if isinstance(one, MeshError)} == {Reason.CONFLICT}
    assert await operator.aliases() == {"a": winner}
    assert len((await operator.page()).revisions) == 1


async def test_the_history_comes_in_pages(operator: PolicyClient) -> None:
    for number in range(5):
        await operator.set(aliases(a=f"m{number}"))
    first = await operator.page(3)
    rest = await operator.page(3, first.next_page_token)
    assert [each.number for each in (*first.revisions, *rest.revisions)] == [5, 4, 3, 2, 1]
    assert rest.next_page_token == ""


async def test_it_works_before_the_registry_was_heard(
    tmp_path: Path, mesh_ca: MeshCA, stack: AsyncExitStack
) -> None:
    plane = ControlPlane(mesh_ca, tmp_path, stack)
    await plane.start_router()
    name = role_server_name("router", "nexus.internal")
    peer = Peer(plane.router, name, mesh_ca.identity("operator"))
    stack.push_async_callback(peer.close)
    gateway = plane.gateway()
    await PolicyClient(peer).set(aliases(a="m"))
    await eventually(lambda: gateway.errors)
    assert {error.reason for error in gateway.errors} == {Reason.NOT_READY}
    await plane.start_registry()
    await eventually(has(gateway, 1, a="m"), timeout=20)


async def test_a_second_router_on_the_same_home_does_not_start(plane: ControlPlane) -> None:
    with pytest.raises(MeshError, match="Another router runs"):
        await plane.start_router()
