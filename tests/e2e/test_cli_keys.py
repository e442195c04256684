"""The edge with API keys, from `nexus keys create` to the moment a revoked key is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
import pytest_asyncio
from support.e2e_cli import nexus
from support.e2e_mesh import HELLO, listed_models, sdk
from support.fake_openai import FakeOpenAI
from support.live_mesh import LiveMesh, backend, live_mesh
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveMesh]:
    async with FakeOpenAI() as fake:
        config = '[gateway]\nauth = "keys"\n' + backend("box", fake.url)
        async with live_mesh(tmp_path_factory.mktemp("keys"), config) as mesh:
            yield mesh


async def key(mesh: LiveMesh, name: str, *more: str) -> str:
    return (await nexus(mesh.layout.home, "keys", "create", name, *more, "--json")).json["secret"]


async def ask(mesh: LiveMesh, secret: str) -> str | None:
    async with sdk(mesh, api_key=secret) as client:
        answer = await client.chat.completions.create(model="fake-model", messages=HELLO)
        return answer.choices[0].finish_reason


@pytest.mark.parametrize("wrong", ["none", "nx_wrong", "sk-proj-0123456789", "x" * 4000])
async def test_a_wrong_key_is_refused(mesh: LiveMesh, wrong: str) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        await ask(mesh, wrong)
    error = refused.value
    assert (error.status_code, error.code, error.type, error.param) == (
        401, "invalid_api_key", "invalid_request_error", None,
    )  # fmt: skip
    assert (error.request_id or "").startswith("req_")
    assert error.response.headers["www-authenticate"].startswith("Bearer")
    assert wrong not in str(error)


@pytest.mark.parametrize("path", ["/models", "/models/fake-model"])
async def test_nothing_of_the_api_is_shown_without_a_key(mesh: LiveMesh, path: str) -> None:
    async with sdk(mesh) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.get(path, cast_to=object, options={"headers": {"Authorization": openai.Omit()}})


async def test_the_right_key_serves_and_health_needs_none(mesh: LiveMesh) -> None:
    secret = await key(mesh, "laptop")
    assert await ask(mesh, secret) == "stop"
    assert await listed_models(mesh.base_url, secret) == ["fake-model"]
    assert (await mesh.readiness())[0] == 200


async def test_a_revoked_key_is_refused(mesh: LiveMesh) -> None:
    secret, other = await key(mesh, "thief"), await key(mesh, "friend")
    assert await ask(mesh, secret) == "stop"
    assert (await nexus(mesh.layout.home, "keys", "revoke", "thief")).code == 0
    await eventually(lambda: _is_refused(mesh, secret), timeout=5, what="the revoked key's end")
    assert await ask(mesh, other) == "stop"


async def test_an_expired_key_is_refused(mesh: LiveMesh) -> None:
    made = await nexus(mesh.layout.home, "keys", "create", "brief", "--days", "0.00003", "--json")
    await eventually(lambda: _is_refused(mesh, made.json["secret"]), timeout=15, what="the key's expiry")


async def test_what_a_tenant_demands_holds_for_its_keys(mesh: LiveMesh) -> None:
    home = mesh.layout.home
    assert (await nexus(home, "tenants", "create", "clinic", "--weight", "3")).code == 0
    secret = await key(mesh, "ward", "--tenant", "clinic", "--manage")
    assert await ask(mesh, secret) == "stop"
    assert (await nexus(home, "tenants", "update", "clinic", "--zone", "restricted")).code == 0
    await eventually(lambda: _stays_inside(mesh, secret), timeout=5, what="the tenant's demand")
    listed = {row["name"]: row for row in (await nexus(home, "tenants", "list", "--json")).json}
    assert (listed["clinic"]["zone"], listed["clinic"]["weight"]) == ("restricted", 3)
    assert listed["default"]["zone"] is None
    keys = {row["name"]: row for row in (await nexus(home, "keys", "list", "--json")).json}
    assert [keys["ward"][part] for part in ("tenant", "zone", "manage")] == ["clinic", None, True]
    assert (await nexus(home, "tenants", "update", "clinic", "--zone", "open")).code == 0
    await eventually(lambda: _serves(mesh, secret), timeout=5, what="the tenant's freedom")
    (await nexus(home, "tenants", "delete", "clinic")).assert_refused("1 live key", "revoke")
    assert (await nexus(home, "keys", "revoke", "ward")).code == 0
    assert (await nexus(home, "tenants", "delete", "clinic")).code == 0


async def test_what_a_key_demands_can_change(mesh: LiveMesh) -> None:
    secret = await key(mesh, "nurse", "--zone", "restricted")
    assert await _stays_inside(mesh, secret)
    changed = await nexus(mesh.layout.home, "keys", "update", "nurse", "--zone", "open", "--json")
    assert changed.json["zone"] is None
    await eventually(lambda: _serves(mesh, secret), timeout=5, what="the key's freedom")
    (await nexus(mesh.layout.home, "keys", "create", "x", "--tenant", "none")).assert_refused("tenant")


async def test_no_key_stands_in_a_log_or_a_file(mesh: LiveMesh) -> None:
    secret = await key(mesh, "shy")
    assert await ask(mesh, secret) == "stop"
    assert [path for path in _files(mesh.layout.home) if secret.encode() in path.read_bytes()] == []


async def _is_refused(mesh: LiveMesh, secret: str) -> bool:
    try:
        await ask(mesh, secret)
    except openai.AuthenticationError:
        return True
    return False


async def _stays_inside(mesh: LiveMesh, secret: str) -> bool:
    try:
        await ask(mesh, secret)
    except openai.PermissionDeniedError as refused:
        return refused.code == "privacy_zone"
    return False


async def _serves(mesh: LiveMesh, secret: str) -> bool:
    try:
        return await ask(mesh, secret) == "stop"
    except openai.PermissionDeniedError:
        return False


def _files(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file()]
