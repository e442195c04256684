"""The table: followed, kept without a router, saved, and started from."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from nexus.registry.v1 import instance_pb2
from nexus_gateway.fleet.snapshots import SnapshotFile
from support.gateway_bench import GatewayBench
from support.waiting import eventually


def saved(bench: GatewayBench) -> Path:
    return bench.home / "gateway" / "snapshot.pb"


async def test_new_snapshot_counts_at_once(bench: GatewayBench) -> None:
    a, b = await bench.adapter("a"), await bench.adapter("b")
    await bench.start(a.target())
    assert (await bench.ask()).served.backend == "a"
    bench.control.router.show(b.target())
    await eventually(lambda: bench.pipeline.table.table.targets[0].backend == "b", 1.0, "the new backend")
    assert (await bench.ask()).served.backend == "b"


async def test_warm_gateway_needs_neither_router_nor_vault(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    await bench.start(box.target())
    await bench.control.stop("router")
    await bench.control.stop("vault")
    for _ in range(20):
        assert (await bench.ask()).served.backend == "box"
    assert bench.pipeline.readiness().ready


async def test_cold_gateway_starts_from_the_saved_snapshot(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    await bench.start(box.target(), policy={"aliases": {"gpt-4o": "m"}})
    await eventually(saved(bench).exists, what="the snapshot to be saved")
    await bench.control.stop("router")
    await bench.start()
    await eventually(lambda: bench.pipeline.readiness().ready, what="the saved snapshot to be taken")
    assert bench.pipeline.readiness().from_saved_snapshot
    assert (await bench.ask(model="gpt-4o")).served.backend == "box"
    await bench.control.start("router")
    bench.control.router.show(box.target("fresh"))
    await eventually(lambda: not bench.pipeline.readiness().from_saved_snapshot, what="the router to be back")
    assert [row.id for row in bench.pipeline.models()] == ["fresh"]


async def test_ready_means_that_a_request_would_be_served(bench: GatewayBench) -> None:
    """E22: after a restart from the saved snapshot too, whose adapter may be gone."""
    box = await bench.adapter("box")
    await bench.start(box.target())
    await eventually(lambda: bench.pipeline.readiness().ready, what="readiness")
    gone = box.target()
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes the connection and says nothing
        gone.address = f"127.0.0.1:{mute.getsockname()[1]}"
        bench.control.router.show(gone)
        await eventually(lambda: not bench.pipeline.readiness().ready, what="the lost adapter to be noticed")
        assert bench.pipeline.readiness().missing == [f"no connection to {gone.instance} yet"]
        bench.control.router.show(gone, box.target())
        await eventually(lambda: bench.pipeline.readiness().ready, what="one that can be reached")
    assert (await bench.ask()).served.backend == "box"


async def test_old_or_broken_file_is_not_started_from(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    await bench.start(box.target())
    await eventually(saved(bench).exists, what="the snapshot to be saved")
    file = SnapshotFile(saved(bench))
    assert file.load() is not None
    old = time.time() - 3700
    os.utime(saved(bench), (old, old))
    assert file.load() is None
    saved(bench).write_bytes(b"\xff\xff\xff")
    assert file.load() is None


async def test_models_are_the_routable_names_with_their_aliases(bench: GatewayBench) -> None:
    up, down = await bench.adapter("up"), await bench.adapter("down")
    target = up.target("b", "a:latest")
    target.models[0].owner = "meta"
    target.models[1].create_time.FromSeconds(1_700_000_000)
    hidden = down.target("c", state=instance_pb2.STATE_UNHEALTHY)
    await bench.start(target, hidden, policy={"aliases": {"gpt-4o": "a", "gone": "c", "nowhere": "x"}})
    assert [(row.id, row.owned_by, row.created) for row in bench.pipeline.models()] == [
        ("a:latest", "scripted", 1_700_000_000),
        ("b", "meta", 0),
        ("gpt-4o", "scripted", 1_700_000_000),
    ]


async def test_readiness_says_what_is_missing_first(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    await bench.start()
    assert bench.pipeline.readiness().missing == ["no routing snapshot: the router has not been heard yet"]
    bench.control.router.show()
    await eventually(lambda: len(bench.pipeline.readiness().missing) == 2, what="the empty table")
    assert bench.pipeline.readiness().missing[1] == "no backend is registered: is an adapter running?"
    bench.control.router.show(box.target(state=instance_pb2.STATE_UNHEALTHY))
    await eventually(
        lambda: "unhealthy: the test says so" in bench.pipeline.readiness().missing[-1], what="the box"
    )
    bench.control.router.show(box.target())
    await eventually(lambda: bench.pipeline.readiness().ready, what="readiness")
    bench.mesh.draining.set()
    assert bench.pipeline.readiness().missing == ["shutting down"]
