"""A second machine joins with a token: its model appears, serves, and goes with it."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from nexus_mesh.identity.join_token import JoinToken
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
    saved = tmp_path / "token"
    saved.write_text(invitation + "\n")
    file = ("--token-file", str(saved))
    join = ("join", *file, "--home", str(tmp_path), "--no-discovery", "--model", str(tiny_gguf))
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
        assert await machine.stop(signal.SIGINT) == 0
        await machine.assert_gone()
    await eventually(lambda: _is_gone(mesh, model), timeout=30, what="the left machine's model gone")
    # The same command again, as after a restart of the machine: it has joined, so nothing is redeemed twice.
    async with running(tmp_path, *join) as machine:
        await eventually(
            lambda: _new(mesh, before), timeout=60, what="the model of the machine that came back"
        )
        thief = await nexus(tmp_path / "thief", "join", *file, "--no-discovery")
        thief.assert_refused("token")
        # Two had it, and who of them was right cannot be known from here (A6).
        await eventually(lambda: _is_gone(mesh, model), timeout=30, what="the withdrawn machine's model gone")
        rows = (await nexus(mesh.layout.home, "identities", "list", "--json")).json
        (row,) = [each for each in rows if each["identity"] == machine.said["identity"]]
        assert (row["state"], row["denied"]["by"]) == ("denied", "vault")
    async with sdk(mesh) as client:
        assert (await client.chat.completions.create(model="fake-model", messages=HELLO)).choices


@pytest.mark.security
async def test_the_secret_alone_is_printed_and_can_be_piped(mesh: LiveMesh, tmp_path: Path) -> None:
    """A6, E14: T=$(nexus token create ...) is the token and nothing else, at most 200 characters (A13)."""
    made = await nexus(mesh.layout.home, "token", "create", "--node", "shed")
    (line,) = made.out.splitlines()
    assert JoinToken.decode(line).encode() == line
    assert len(line) <= 200
    assert line not in made.err
    started = await nexus(tmp_path, "join", "-", "--no-discovery", given=line + "x\n")
    started.assert_refused("damaged")
    assert line not in started.out + started.err


@pytest.mark.security
async def test_a_worker_offers_only_what_its_token_allows(mesh: LiveMesh, tmp_path: Path) -> None:
    """A13: a joined worker that claims priority 1 and another's model's name gets neither."""
    made = await nexus(mesh.layout.home, "token", "create", "--node", "greedy", "--models", "mine*")
    (tmp_path / "token").write_text(made.out)
    join = ("join", "--token-file", str(tmp_path / "token"), "--home", str(tmp_path), "--no-discovery")
    async with FakeOpenAI("fake-model", "mine-7b") as fake:
        (tmp_path / "nexus.toml").write_text(backend("greedy", fake.url, priority=1))
        await _greedy(mesh, tmp_path, *join)


async def _greedy(mesh: LiveMesh, home: Path, *join: str) -> None:
    async with running(home, *join):
        await eventually(lambda: _lists(mesh, "mine-7b"), timeout=60, what="the model it may offer")
        rows = (await nexus(mesh.layout.home, "models", "--json")).json
        assert [row["id"] for row in rows if row["backend"] == "greedy"] == ["mine-7b"]
        told = (await nexus(mesh.layout.home, "explain", "mine-7b", "--json")).out
        assert "priority 50" in told or '"priority": 50' in told, told


async def _lists(mesh: LiveMesh, model: str) -> bool:
    return model in await listed_models(mesh.base_url)


async def test_a_token_for_another_mesh_is_refused(mesh: LiveMesh, tmp_path: Path) -> None:
    good = await token(mesh, "attic")
    forged = good[:-6] + ("aaaaaa" if not good.endswith("aaaaaa") else "bbbbbb")
    (await nexus(tmp_path, "join", "-", "--no-discovery", given=forged)).assert_refused("token")


async def _new(mesh: LiveMesh, before: set[str]) -> set[str]:
    return set(await listed_models(mesh.base_url)) - before


async def _is_gone(mesh: LiveMesh, model: str) -> bool:
    return model not in await listed_models(mesh.base_url)
