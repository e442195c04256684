"""A second machine joins with a token: its model appears, serves, and goes with it."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.e2e_cli import nexus, running
from support.e2e_mesh import HELLO, listed_models, sdk, serving
from support.fake_openai import FakeOpenAI
from support.live_mesh import LiveMesh, backend
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveMesh]:
    async with (
        FakeOpenAI() as fake,
        serving(tmp_path_factory.mktemp("control"), backend("box", fake.url), "fake-model") as mesh,
    ):
        yield mesh


async def token(mesh: LiveMesh, node: str, *more: str) -> str:
    return (await nexus(mesh.layout.home, "token", "create", "--node", node, *more, "--json")).json["token"]


async def test_a_joined_machine_serves_and_a_token_works_once(
    mesh: LiveMesh, tmp_path: Path, tiny_gguf: Path
) -> None:
    before = set(await listed_models(mesh.base_url))
    invitation = await token(mesh, "studio", "--zone", "attic")
    join = ("join", invitation, "--home", str(tmp_path), "--no-discovery", "--model", str(tiny_gguf))
    async with running(tmp_path, *join) as machine:
        assert machine.said["state"] == "joined"
        assert "zone/attic/node/studio/adapter" in machine.said["identity"]
        await eventually(lambda: _new(mesh, before), timeout=60, what="the joined machine's model")
        (model,) = await _new(mesh, before)
        async with sdk(mesh) as client:
            answer = await client.chat.completions.with_raw_response.create(
                model=model, messages=HELLO, max_tokens=5
            )
        assert answer.headers["x-nexus-instance"].startswith("studio/adapter")
        assert answer.parse().choices[0].finish_reason == "length"
        rows = (await nexus(mesh.layout.home, "models", "--json")).json
        assert {row["zone"] for row in rows if row["id"] == model} == {"attic"}
        again = await nexus(tmp_path / "thief", "join", invitation, "--no-discovery")
        again.assert_refused("token")
        assert await machine.stop(signal.SIGINT) == 0
        await machine.assert_gone()
    await eventually(lambda: _is_gone(mesh, model), timeout=30, what="the left machine's model gone")
    async with sdk(mesh) as client:
        assert (await client.chat.completions.create(model="fake-model", messages=HELLO)).choices


async def test_a_token_for_another_mesh_is_refused(mesh: LiveMesh, tmp_path: Path) -> None:
    good = await token(mesh, "attic")
    forged = good[:-6] + ("aaaaaa" if not good.endswith("aaaaaa") else "bbbbbb")
    (await nexus(tmp_path, "join", forged, "--no-discovery")).assert_refused("token")


async def _new(mesh: LiveMesh, before: set[str]) -> set[str]:
    return set(await listed_models(mesh.base_url)) - before


async def _is_gone(mesh: LiveMesh, model: str) -> bool:
    return model not in await listed_models(mesh.base_url)
