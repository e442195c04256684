"""A withdrawn adapter gets nothing more from a gateway, whatever registry and router still say of it."""

from __future__ import annotations

import asyncio

import pytest
from nexus_gateway.fleet.snapshots import SnapshotFile
from nexus_mesh.core.errors import MeshError
from nexus_mesh.process.mesh import Mesh
from support.gateway_bench import GatewayBench, read_all
from support.scripted_adapter import ScriptedAdapter, text_of
from support.waiting import eventually

pytestmark = pytest.mark.security


def deny(mesh: Mesh, *adapters: ScriptedAdapter) -> None:
    names = [str(adapter.identity.spiffe) for adapter in adapters]
    mesh.denied.replace(names, mesh.denied.revision + 1)


async def test_a_denied_target_gets_nothing_and_another_serves(bench: GatewayBench) -> None:
    """A2: gateways look at targets too."""
    bad, good = await bench.adapter("bad"), await bench.adapter("good")
    await bench.start(bad.target(priority=1), good.target())
    await bench.ask()
    assert len(bad.seen) == 1
    deny(bench.mesh, bad)
    for _ in range(5):
        await bench.ask()
        await bench.ask_stream()
    assert (len(bad.seen), len(good.seen)) == (1, 10)


async def test_a_later_snapshot_does_not_bring_it_back(bench: GatewayBench) -> None:
    """A2: the router is not asked who may be sent to."""
    bad = await bench.adapter("bad")
    await bench.start(bad.target())
    deny(bench.mesh, bad)
    before = bench.pipeline.table.snapshot
    bench.control.router.show(bad.target(priority=2))
    await bench.until_newer(before)
    with pytest.raises(MeshError):
        await bench.ask()
    assert bad.reached == 0


async def test_its_open_stream_is_ended(bench: GatewayBench) -> None:
    """A2: what runs there is ended at once, and the client is told."""
    bad = await bench.adapter("bad")
    bad.mode = "stall"
    await bench.start(bad.target())
    got: list[str] = []

    async def read() -> None:
        async with bench.stream() as messages:
            got.extend([text_of(await anext(messages))])
            await read_all(messages)

    reading = asyncio.create_task(read())
    await eventually(lambda: "one " in got, what="the beginning")
    deny(bench.mesh, bad)
    with pytest.raises(MeshError):
        await reading
    await eventually(lambda: bad.active == 0, what="the end of what ran there")


async def test_a_whole_answer_under_way_comes_from_another(bench: GatewayBench) -> None:
    """A2: nothing had reached the client, so nothing is lost."""
    bad, good = await bench.adapter("bad"), await bench.adapter("good")
    bad.mode = "silent"
    await bench.start(bad.target(priority=1), good.target())
    asking = asyncio.create_task(bench.ask())
    await eventually(lambda: bad.active == 1, what="the request at the adapter")
    deny(bench.mesh, bad)
    answer = await asking
    assert answer.served.backend == "good"


async def test_who_is_allowed_again_is_served_again(bench: GatewayBench) -> None:
    """A2a: a denial that is taken back leaves nothing behind."""
    box = await bench.adapter("box")
    await bench.start(box.target())
    await bench.ask()
    deny(bench.mesh, box)
    with pytest.raises(MeshError):
        await bench.ask()
    deny(bench.mesh)
    await bench.ask()
    assert len(box.seen) == 2


async def test_a_gateway_that_starts_from_its_saved_snapshot_leaves_it_out(bench: GatewayBench) -> None:
    """A2: with router and vault away, a gateway that was killed knows from its own disk who was withdrawn."""
    bad, good = await bench.adapter("bad"), await bench.adapter("good")
    await bench.start(bad.target("m", "theirs"), good.target())
    deny(bench.mesh, bad)
    folder = bench.home / "identities" / "gateway-main"
    bench.mesh.denied.save(folder)
    await bench.control.stop("router")
    await bench.control.stop("vault")
    file = SnapshotFile(bench.home / "gateway" / "snapshot.pb")
    snapshot = bench.pipeline.table.snapshot
    assert snapshot is not None
    whole = type(snapshot)(version=snapshot.version, targets=[bad.target("m", "theirs"), good.target()])
    await bench.mesh.__aexit__()
    file.save(whole)
    await bench.start()
    bench.mesh.denied.load(folder)
    await eventually(lambda: bench.pipeline.table.snapshot is not None, what="the saved snapshot")
    table = bench.pipeline.table.snapshot
    assert table is not None
    assert [target.backend for target in table.targets] == ["good"]
