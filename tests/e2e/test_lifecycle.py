"""The life of a model on a managed card, from the command line to the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.e2e_cli import nexus
from support.e2e_mesh import HELLO, engine, sdk, serving
from support.fake_ollama import FakeOllama
from support.fake_ollama_models import OllamaModel
from support.live_mesh import LiveMesh
from support.waiting import eventually

GIB = 2**30
DEVICE = '[[devices]]\nname = "gpu0"\nmemory_gb = 24\nheadroom_gb = 0\nbackends = ["box"]\n'
SIZES = '[models."a:latest"]\nmemory_gb = 14\n[models."b:latest"]\nmemory_gb = 10\n[adapter]\nmin_residency = 600\n'


async def test_a_model_comes_serves_and_goes(tmp_path: Path) -> None:
    async with FakeOllama(
        [OllamaModel("a:latest", size=14 * GIB), OllamaModel("b:latest", size=10 * GIB)]
    ) as fake:
        fake.engine.pullable["c:latest"] = OllamaModel("c:latest", size=8 * GIB)
        config = engine("ollama", "box", fake.url) + DEVICE + SIZES
        async with serving(tmp_path, config, "a:latest", "b:latest") as mesh:
            await _life(mesh, fake)


async def _life(mesh: LiveMesh, fake: FakeOllama) -> None:
    home = mesh.layout.home
    loaded = await nexus(home, "load", "a")
    assert loaded.out == "a:latest is loaded at box, in 14.0 GB.\n"
    async with sdk(mesh) as client:
        answer = await client.chat.completions.create(model="b", messages=HELLO)
        assert answer.choices[0].message.content == "hello from ollama"
    assert {one.model.name for one in fake.engine.loaded} == {"a:latest", "b:latest"}

    await eventually(lambda: _shows(mesh, {"a:latest", "b:latest"}), timeout=20, what="the status to tell")
    assert "24.0 of 24.0 GB" in (await nexus(home, "status")).out

    pulled = await nexus(home, "pull", "c")
    assert pulled.out.splitlines()[-1] == "c is at box."
    assert any(line.startswith("pulling ") for line in pulled.out.splitlines())
    await eventually(lambda: _refuses(home, "c"), timeout=20, what="the new model to be known")
    assert {one.model.name for one in fake.engine.loaded} == {"a:latest", "b:latest"}

    assert (await nexus(home, "unload", "b", "--json")).json["state"] == "unloaded"
    assert (await nexus(home, "load", "c", "--json")).json["memory_bytes"] == 8 * GIB
    assert (await nexus(home, "rm", "c", "--json")).json["state"] == "deleted"
    assert "c:latest" not in fake.engine.models
    (await nexus(home, "rm", "c", "--backend", "nobody")).assert_refused(
        "no backend 'nobody'", "nexus status"
    )


async def _shows(mesh: LiveMesh, models: set[str]) -> bool:
    told: list[Any] = (await nexus(mesh.layout.home, "status", "--json")).json["devices"]
    return {one["model"] for device in told for one in device["models"] if one["state"] == "idle"} == models


async def _refuses(home: Path, model: str) -> bool:
    """Both models in memory have their residency, so there is no room for a third."""
    asked = await nexus(home, "load", model)
    if "gpu0" in asked.err:
        asked.assert_refused("has to wait for memory of gpu0", "ready in about")
        return True
    return False
