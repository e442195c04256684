"""The examples that need Python alone do what their READMEs say. `make clients` runs the others."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from support import fake_openai_modes as modes
from support.e2e_cli import nexus, running
from support.e2e_mesh import listed_models
from support.examples import CHAT, EMBEDDER, FOLDER, clients, run, served
from support.fake_openai import FakeOpenAI
from support.live_mesh import live_mesh
from support.waiting import eventually

ENGINE, CLOUD = "http://127.0.0.1:8000", "https://api.example.com"
CLOUD_KEY = "sk-of-the-cloud"


async def _python(script: str, *arguments: str, variables: Mapping[str, str]) -> list[str]:
    return (await run((sys.executable, FOLDER / script, *arguments), variables)).splitlines()


async def test_openai_python(tmp_path: Path) -> None:
    row = clients()["openai-python"]
    assert {name: importlib.metadata.version(name) for name in row.packages} == row.packages
    async with served(tmp_path) as endpoint:
        variables = endpoint.variables
        whole, by, streamed = await _python("openai-python/chat.py", CHAT, variables=variables)
        assert (whole, by, streamed) == ("Titan.", "[box: capability-match]", "1 2 3 4 5")
        assert await _python("openai-python/chat.py", variables=variables) == [whole, by, streamed]
        told = await _python("openai-python/tools.py", CHAT, variables=variables)
        assert told == ["add(2, 40) = 42", "It is 42."]
        (near,) = await _python("openai-python/embed.py", EMBEDDER, variables=variables)
        assert near.startswith("8 dimensions; nearest: ")
        await endpoint.assert_tried(row.tried)
        with pytest.raises(AssertionError, match="AuthenticationError"):
            await run(
                (sys.executable, FOLDER / "openai-python/chat.py", CHAT),
                {**variables, "OPENAI_API_KEY": "none"},
            )


def _example(name: str, **addresses: str) -> str:
    """A nexus.toml of the examples with the tests' own addresses, each of which must be in it."""
    text = (FOLDER / name).read_text()
    for old, new in ((ENGINE, addresses["engine"]), (CLOUD, addresses.get("cloud", CLOUD))):
        assert old in text or old == CLOUD, (name, old)
        text = text.replace(old, new)
    return text


async def test_zones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_KEY", CLOUD_KEY)
    async with (
        FakeOpenAI("house-model", mode=modes.echo()) as house,
        FakeOpenAI("cloud-model", mode=modes.echo(), api_key=CLOUD_KEY) as cloud,
        live_mesh(tmp_path, _example("zones/nexus.toml", engine=house.url, cloud=cloud.url)) as mesh,
    ):
        await eventually(lambda: _lists(mesh.base_url, "house-model", "cloud-model"), timeout=30, what="both")
        variables = {"OPENAI_BASE_URL": mesh.base_url, "OPENAI_API_KEY": "none"}
        told = await _python("zones/ask.py", variables=variables)
    private = "Write to jane.doe@example.org that her card 4111 1111 1111 1111 came."
    scrubbed = "Write to <EMAIL_1> that her card <CARD_1> came."
    assert told == [
        f"house-model: zone restricted, 0 replaced: {private}",
        f"cloud-model: zone open, 2 replaced: {scrubbed}",
        "cloud-model: refused: privacy_zone",
    ]
    (inside,), (outside,) = house.calls, cloud.calls
    assert inside.body["messages"][0]["content"] == private
    assert outside.body["messages"][0]["content"] == scrubbed


async def test_two_hosts(tmp_path: Path) -> None:
    desk_home, studio_home = tmp_path / "desk", tmp_path / "studio"
    async with FakeOpenAI("llama3.1:8b") as desk, FakeOpenAI("qwen3:32b") as studio:
        for home, toml, url in ((desk_home, "first", desk.url), (studio_home, "second", studio.url)):
            home.mkdir(mode=0o700)
            (home / "nexus.toml").write_text(_example(f"two-hosts/{toml}.toml", engine=url))
        # Instead of --listen 192.168.1.10, which would demand keys by itself.
        with (desk_home / "nexus.toml").open("a") as file:
            file.write('[gateway]\nauth = "keys"\n')
        up = ("up", "--port", "0", "--no-discovery", "--home", str(desk_home))
        async with running(desk_home, *up):
            url = json.loads((desk_home / "run" / "mesh.json").read_text())["http"] + "/v1"
            key = (await nexus(desk_home, "keys", "create", "laptop")).out.strip()
            token = tmp_path / "token"
            token.write_text((await nexus(desk_home, "token", "create", "--node", "studio")).out)
            join = ("join", "--token-file", str(token), "--no-discovery", "--home", str(studio_home))
            async with running(studio_home, *join):
                await eventually(
                    lambda: _lists(url, "llama3.1:8b", "qwen3:32b", key=key), timeout=60, what="both machines"
                )
                variables = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": key}
                answers = [
                    (await _python("openai-python/chat.py", model, variables=variables))[1]
                    for model in ("default", "qwen3:32b")
                ]
                desk.mode = modes.drop()
                without_desk = (await _python("openai-python/chat.py", "default", variables=variables))[1]
    assert answers == ["[desk: capability-match]", "[studio: capability-match]"]
    assert without_desk == "[studio: failover]"


async def _lists(url: str, *models: str, key: str = "none") -> bool:
    return {*models} <= {*await listed_models(url, key)}
