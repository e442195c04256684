"""A program of a tenant in a real mesh, from its token to its answers, by the very example of the documentation."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from nexus_client import AsyncClient, Finished, Options, Usage
from nexus_mesh.core import MeshError, Reason
from support import fake_openai_modes as modes
from support.e2e_cli import environment, nexus
from support.e2e_mesh import engine
from support.fake_ollama import FakeOllama
from support.fake_ollama_models import OllamaModel
from support.fake_openai import FakeOpenAI
from support.live_mesh import LiveMesh, backend, live_mesh
from support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.security]

EXAMPLE = Path(__file__).parents[2] / "docs" / "client.md"
ALIAS = '[routing.aliases]\n"smollm2:135m" = "fake-model"\n'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveMesh]:
    """Two zones with the same model; outside is the first choice of whoever may choose. Tenant "acme" stays at home."""
    mode = modes.ok(text="at home")
    async with (
        FakeOpenAI("fake-model", mode=modes.ok(text="outside")) as outside,
        FakeOpenAI("fake-model", mode=mode) as inside,
        FakeOllama([OllamaModel("a:latest")]) as ollama,
    ):
        config = '[gateway]\nauth = "keys"\n' + backend("outside", outside.url, priority=1)
        config += backend("inside", inside.url, zone="restricted", priority=9)
        config += engine("ollama", "managed", ollama.url) + ALIAS
        async with live_mesh(tmp_path_factory.mktemp("client"), config) as started:
            home = started.layout.home
            assert (await nexus(home, "tenants", "create", "acme", "--zone", "restricted")).code == 0
            yield started


def door(mesh: LiveMesh) -> str:
    return f"127.0.0.1:{mesh.file.ports['gateway']}"


async def token(mesh: LiveMesh, node: str, *more: str) -> str:
    made = await nexus(
        mesh.layout.home,
        "token", "create", "--role", "client", "--tenant", "acme", "--node", node, "--json", *more,
    )  # fmt: skip
    assert made.code == 0, made.err
    return made.json["token"]


async def test_the_example_of_the_documentation_runs_and_runs_again(mesh: LiveMesh, tmp_path: Path) -> None:
    """The second time it has joined: a token that is presented twice would withdraw it."""
    (found,) = re.findall(r"```python\n(.*?)```", EXAMPLE.read_text(), re.DOTALL)
    assert len(found.strip().splitlines()) <= 10
    (tmp_path / "token").write_text(await token(mesh, "app"))
    (tmp_path / "example.py").write_text(found.replace("127.0.0.1:7400", door(mesh)))
    for _ in range(2):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "example.py", cwd=tmp_path, env=environment(tmp_path),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        assert out.decode().splitlines() == ["at home", "at home"], err.decode()


async def test_an_internal_client_is_served_in_its_tenants_zone(mesh: LiveMesh, tmp_path: Path) -> None:
    async with AsyncClient.by_token(door(mesh), await token(mesh, "service"), tmp_path / "id") as client:
        answer = await client.complete("fake-model", "hi")
        assert (answer.text, answer.served and answer.served.zone) == ("at home", "restricted")
        async with client.stream("fake-model", "hi") as events:
            assert isinstance([event async for event in events][-1], Finished)
        assert len((await client.embed("fake-model", ["a", "b"])).vectors) == 2
        with pytest.raises(MeshError) as caught:
            await client.complete("fake-model", "hi", Options(zone="default"))
        assert caught.value.reason is Reason.PRIVACY_ZONE
    listed = (await nexus(mesh.layout.home, "identities", "list", "--json")).json
    (row,) = [row for row in listed if "/service/client/" in row["identity"]]
    assert row["claims"]["tenant"] == "acme"


async def test_the_operator_on_behalf_of_a_tenant_is_served_as_that_tenant(mesh: LiveMesh) -> None:
    async with AsyncClient.by_identity(door(mesh), mesh.layout.operator) as client:
        assert (await client.complete("fake-model", "hi")).text == "outside"
        assert (await client.complete("fake-model", "hi", Options(on_behalf_of="acme"))).text == "at home"


async def test_a_key_manages_models_where_it_may(mesh: LiveMesh) -> None:
    home = mesh.layout.home
    plain = (await nexus(home, "keys", "create", "plain", "--json")).json["secret"]
    manager = (await nexus(home, "keys", "create", "manager", "--manage", "--json")).json["secret"]
    async with AsyncClient.by_key(mesh.http, plain) as client:
        assert {model.id for model in await client.models()} >= {"fake-model", "a:latest"}
        answer = await client.complete("fake-model", "hi")
        assert isinstance(answer.usage, Usage)
        with pytest.raises(MeshError) as caught:
            await client.load("a:latest")
        assert caught.value.reason is Reason.CALLER_SCOPE
    async with AsyncClient.by_key(mesh.http, manager) as client:
        loaded = await client.load("a:latest")
        assert (loaded.state, loaded.backend) == ("loaded", "managed")
        assert (await client.unload("a:latest", backend="managed")).state == "unloaded"
        with pytest.raises(MeshError):
            async with client.pull("nowhere", backend="managed") as steps:
                assert [step async for step in steps] == []
        assert (await client.delete("a:latest")).state == "deleted"
    async with AsyncClient.by_key(mesh.http, "nx_wrong") as client:
        with pytest.raises(MeshError) as caught:
            await client.models()
        assert caught.value.reason is Reason.CALLER_KEY


async def test_what_the_command_refuses(mesh: LiveMesh) -> None:
    home = mesh.layout.home
    create = ("token", "create", "--node", "x")
    (await nexus(home, *create, "--role", "client")).assert_refused("--tenant", "nexus tenants list")
    (await nexus(home, *create, "--role", "client", "--tenant", "acne")).assert_refused("did you mean 'acme'")
    (await nexus(home, *create, "--tenant", "acme")).assert_refused("belongs to no tenant")
    (await nexus(home, *create, "--role", "gateway")).assert_refused("--role gateway")
    floor = ("--role", "client", "--tenant", "acme", "--priority-floor", "3")
    (await nexus(home, *create, *floor)).assert_refused("--priority-floor")


async def test_a_client_of_a_deleted_tenant_is_refused_at_once(mesh: LiveMesh, tmp_path: Path) -> None:
    home = mesh.layout.home
    assert (await nexus(home, "tenants", "create", "brief")).code == 0
    made = await nexus(
        home, "token", "create", "--role", "client", "--tenant", "brief", "--node", "b", "--json"
    )
    async with AsyncClient.by_token(door(mesh), made.json["token"], tmp_path / "id") as client:

        async def verdict() -> Reason | None:
            try:
                await client.complete("fake-model", "hi")
            except MeshError as error:
                return error.reason
            return None

        async def is_served() -> bool:
            return await verdict() is None

        async def is_refused() -> bool:
            return await verdict() is Reason.CALLER_SCOPE

        await eventually(is_served, timeout=5, what="the new tenant served")
        assert (await nexus(home, "tenants", "delete", "brief")).code == 0
        await eventually(is_refused, timeout=5, what="the deleted tenant refused")
