"""A withdrawn machine stays withdrawn: over kill -9 of whoever refuses it, with the vault away."""

from __future__ import annotations

import json
from pathlib import Path

import openai
import pytest
from nexus_mesh.identity.spiffe import SpiffeId
from support.e2e_cli import nexus
from support.e2e_mesh import HELLO, listed_models, sdk, serving
from support.fake_openai import FakeOpenAI
from support.live_mesh import LiveMesh, backend
from support.waiting import eventually

pytestmark = pytest.mark.security
OTHERS_MODEL = "other-model"


async def test_a_denied_adapter_is_not_served_again_without_the_vault(
    tmp_path: Path, fake_openai: FakeOpenAI
) -> None:
    """A2: deny, stop the vault, kill -9 registry and gateway: it is refused at the door and never served again."""
    async with FakeOpenAI(OTHERS_MODEL) as other:
        config = backend("box", fake_openai.url) + backend("shed", other.url, zone="attic")
        async with serving(tmp_path / "home", config, "fake-model", OTHERS_MODEL) as mesh:
            who = SpiffeId(mesh.file.trust_domain, "default", mesh.file.node, "adapter", "main")
            await _deny(mesh, str(who))
            await eventually(lambda: _lists_only(mesh, OTHERS_MODEL), 30, "the denied adapter's model gone")
            await eventually(lambda: _all_saved(mesh, str(who)), 30, "the denial on every disk")
            mesh.kill("vault", "registry", "gateway")
            await eventually(lambda: not mesh.running("registry"), 10, "the end of the registry")
            log = mesh.layout.log("registry")
            before = log.stat().st_size
            mesh.revive("registry", "gateway")
            await eventually(lambda: _refused(log, before, str(who)), 60, "the denied adapter refused again")
            await eventually(lambda: _lists_only(mesh, OTHERS_MODEL), 60, "the mesh without it")
            async with sdk(mesh) as client:
                assert (await client.chat.completions.create(model=OTHERS_MODEL, messages=HELLO)).choices
                with pytest.raises(openai.APIStatusError):
                    await client.chat.completions.create(model="fake-model", messages=HELLO)
            assert not mesh.running("vault")


async def _deny(mesh: LiveMesh, who: str) -> None:
    ran = await nexus(mesh.layout.home, "identities", "deny", who, "--reason", "stolen")
    assert ran.code == 0, ran.err
    rows = (await nexus(mesh.layout.home, "identities", "list", "--json")).json
    (row,) = [each for each in rows if each["identity"] == who]
    assert row["denied"]["reason"] == "stolen"


def _all_saved(mesh: LiveMesh, who: str) -> bool:
    folders = [mesh.layout.identity(role, "main") for role in ("gateway", "registry", "router", "vault")]
    return all(who in json.loads((folder / "denied.json").read_text())["denied"] for folder in folders)


def _refused(log: Path, start: int, who: str) -> bool:
    told = log.read_bytes()[start:].decode(errors="replace")
    return any("Register" in line and who in line and "withdrawn" in line for line in told.splitlines())


async def _lists_only(mesh: LiveMesh, model: str) -> bool:
    return await listed_models(mesh.base_url) == [model]
