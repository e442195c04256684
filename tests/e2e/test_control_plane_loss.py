"""A warm gateway needs none of the control plane; and what comes back is taken back without a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from nexus_cli.instances import listed
from nexus_mesh.core.errors import MeshError
from support.fake_openai import FakeOpenAI
from support.live_mesh import LiveMesh, backend, eventually, live_mesh
from support.load import load

CONTROL = ("etcd", "registry", "router", "vault")
EVERYONE = {"gateway", "adapter", "router", "vault", "registry"}
DEAD_SECONDS = 60


@pytest.mark.timeout(400)
async def test_nothing_fails_while_etcd_registry_router_and_vault_are_dead(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    async with live_mesh(tmp_path, backend("box", fake_openai.url)) as mesh:
        before = mesh.pid("gateway"), mesh.pid("adapter")
        async with load(mesh.base_url, "fake-model") as tally:
            await asyncio.sleep(2)
            mesh.kill(*CONTROL)
            await asyncio.sleep(DEAD_SECONDS)
            assert not any(mesh.running(name) for name in CONTROL)
            mesh.revive(*CONTROL)
            await eventually(lambda: _whole(mesh), timeout=60, what="every service in the registry again")
        print(f"control plane dead for {DEAD_SECONDS} s: {tally}")
        assert not tally.failures
        assert tally.unary > 50 * DEAD_SECONDS
        assert tally.streams > 20
        assert (mesh.pid("gateway"), mesh.pid("adapter")) == before


async def _whole(mesh: LiveMesh) -> bool:
    try:
        found = await listed(mesh.layout)
    except MeshError:
        return False
    return {one.role for one in found if one.connected} >= EVERYONE
