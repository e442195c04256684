"""Every command against a running mesh: a table for people, JSON for programs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from nexus.registry.v1 import instance_pb2, registry_pb2
from nexus.vault.v1 import identity_pb2
from nexus_cli import doctor_ahead
from nexus_cli.bootstrap import CREATE_TOKEN
from nexus_cli.doctor import CHECKS
from nexus_cli.instances import listed
from nexus_cli.operator import control
from nexus_mesh.core import VERSION
from nexus_mesh.identity import Identity, JoinToken, Material, role_server_name, tls
from nexus_mesh.process import enrollment
from nexus_mesh.process.registration import DEREGISTER, REGISTER
from nexus_mesh.rpc import Peer
from support.e2e_cli import command, nexus
from support.e2e_mesh import sdk, serving
from support.fake_ollama import FakeOllama
from support.fake_openai import FakeOpenAI
from support.live_mesh import LiveMesh, backend
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALIAS = '[routing.aliases]\n"gpt-4o" = "fake-model"\n'
ROLES = {"gateway", "adapter", "router", "vault", "registry"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI("fake-model", "org/other:7b") as fake:
        yield fake


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(fake: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveMesh]:
    config = backend("box", fake.url) + ALIAS
    async with serving(tmp_path_factory.mktemp("commands"), config, "org/other:7b", "gpt-4o") as mesh:
        yield mesh


@pytest.fixture
def home(mesh: LiveMesh) -> Path:
    return mesh.layout.home


async def _everybody(mesh: LiveMesh) -> bool:
    return {instance.role for instance in await listed(mesh.layout)} == ROLES


async def test_status(mesh: LiveMesh, home: Path) -> None:
    await eventually(lambda: _everybody(mesh), timeout=30, what="every service registered")
    told = (await nexus(home, "status", "--json")).json
    assert told["endpoint"] == mesh.base_url
    assert {row["role"] for row in told["instances"]} == ROLES
    assert {row["state"] for row in told["instances"]} == {"active"}
    (box,) = [one for row in told["instances"] for one in row["backends"]]
    assert (box["name"], box["state"], set(box["models"])) == (
        "box",
        "active",
        {"fake-model", "org/other:7b"},
    )
    table = await nexus(home, "status")
    assert table.code == 0
    for word in (mesh.base_url, *ROLES, "box (active)"):
        assert word in table.out


async def test_models(home: Path) -> None:
    rows = (await nexus(home, "models", "--json")).json
    assert [(row["id"], row["backend"], row["state"]) for row in rows] == [
        ("fake-model", "box", "active"),
        ("org/other:7b", "box", "active"),
    ]
    assert "chat" in rows[0]["operations"]
    table = await nexus(home, "models")
    assert table.code == 0
    assert "org/other:7b" in table.out


async def test_explain(home: Path) -> None:
    told = (await nexus(home, "explain", "gpt-4o", "--json")).json
    assert told["model"] == "fake-model"
    assert [row["rank"] for row in told["candidates"]] == [1]
    assert "box" in told["candidates"][0]["target"]
    table = await nexus(home, "explain", "gpt-4o")
    assert table.code == 0
    assert "gpt-4o stands for fake-model" in table.out


async def test_explain_tells_why_a_candidate_lost(home: Path) -> None:
    (row,) = (await nexus(home, "explain", "fake-model", "--need", "vision", "--json")).json["candidates"]
    assert row["rank"] == 0
    assert row["stage"]
    assert "vision" in row["reason"]
    (await nexus(home, "explain", "fake-model", "--need", "wings")).assert_refused("wings", "vision")
    (await nexus(home, "explain", "fake-model", "--operation", "dance")).assert_refused("dance", "chat")


async def test_explain_of_a_model_nobody_has(home: Path) -> None:
    """E13"""
    refused = await nexus(home, "explain", "fake-modle")
    refused.assert_refused("No backend offers 'fake-modle'", "Did you mean 'fake-model'?", "nexus models")
    assert refused.code == 1
    assert refused.out == ""
    told = await nexus(home, "explain", "zzz", "--json")
    assert told.code == 1
    assert json.loads(told.err)["error"]["message"] == "No backend offers 'zzz'."


PLAIN = (
    "models",
    "status",
    "keys list",
    "tenants list",
    "explain gpt-4o",
    "doctor",
    "policy show",
    "policy history",
)


@pytest.mark.parametrize("line", PLAIN)
async def test_in_a_pipe_a_record_is_a_line(home: Path, line: str) -> None:
    """E14: whatever COLUMNS says; nothing is folded, and no escape is written."""
    await nexus(home, "keys", "create", "a-key-with-a-rather-long-name-" + "x" * 30)  # once; then it is there
    narrow, wide = [
        await nexus(home, *line.split(), environment={"COLUMNS": columns}) for columns in ("20", "500")
    ]
    assert narrow.code == wide.code == 0
    assert len(narrow.out.splitlines()) == len(wide.out.splitlines())
    assert "\x1b" not in narrow.out + narrow.err


async def test_a_row_can_be_found_by_a_word_and_cut(home: Path) -> None:
    """E14: `nexus models | grep other` gives the whole row."""
    (row,) = [line for line in (await nexus(home, "models")).out.splitlines() if "other" in line]
    assert row.split()[0] == "org/other:7b"
    assert "box on" in row
    assert "chat" in row


async def test_a_secret_stands_alone_on_standard_output(home: Path) -> None:
    """E14: KEY=$(nexus keys create k)"""
    made = await nexus(home, "keys", "create", "script")
    assert re.fullmatch(r"nx_live_[a-z0-9]+_\S+\n", made.out)
    assert "not shown again" in made.err


async def test_a_resume_that_cannot_be_is_told_of(home: Path) -> None:
    """E21: there is one backend here."""
    policy = home / "resume.toml"
    policy.write_text('[routing]\nresume = ["fake-*"]\n')
    told = await nexus(home, "policy", "check", str(policy))
    assert told.code == 0
    assert "only box on" in told.err
    assert "nobody can go on" in told.err
    assert (await nexus(home, "policy", "check", str(policy), "--json")).json["doubts"]


async def test_doctor_finds_nothing_wrong(home: Path) -> None:
    rows = await nexus(home, "doctor", "--json")
    assert [row for row in rows.json if not row["ok"]] == []
    assert rows.code == 0
    (door,) = [row for row in rows.json if row["check"] == "etcd's door"]
    assert "refuses the operator" in door["detail"], "A1"
    table = await nexus(home, "doctor", "--verbose")
    assert table.code == 0
    assert "bad " not in table.out
    assert "backend box" in table.out
    brief = await nexus(home, "doctor")
    assert (brief.code, brief.err) == (0, "")
    assert "backend box" not in brief.out
    assert "nothing bad" in brief.out
    assert {row["group"] for row in rows.json} == set(CHECKS)


async def test_doctor_looks_forward(home: Path) -> None:
    await nexus(home, "keys", "create", "soon", "--days", "2")
    await nexus(home, "keys", "create", "late", "--days", "200")
    await nexus(home, "token", "create", "--node", "shed", "--minutes", "2")
    await nexus(home, "token", "create", "--node", "barn", "--minutes", "60")
    told = {row["check"]: row for row in (await nexus(home, "doctor", "--json")).json}
    assert told["key soon"]["ok"]
    assert told["key soon"]["advice"]
    assert "key late" not in told
    assert re.search(r"ends in [01] min", told["join token shed/adapter/main"]["detail"])
    assert "nexus token create" in told["join token shed/adapter/main"]["advice"]
    assert told["join token barn/adapter/main"]["advice"] == ""
    assert told["packages"]["ok"]
    assert "note key soon" in (await nexus(home, "doctor")).out


async def test_doctor_finds_an_engine_that_nobody_serves(mesh: LiveMesh, fake: FakeOpenAI) -> None:
    async with FakeOllama() as other:
        (told,) = await doctor_ahead.engines(mesh.layout, [fake.port, other.port])
    assert (told.check, told.ok) == (f"engine ollama-{other.port}", True)
    assert other.url in told.detail
    assert "nexus.toml" in told.advice
    assert await doctor_ahead.engines(mesh.layout, [fake.port, other.port]) == [], "it has ended"


async def test_doctor_finds_a_member_of_another_version_with_another_clock(
    mesh: LiveMesh, home: Path
) -> None:
    together = {row["check"]: row for row in (await nexus(home, "doctor", "--json")).json}
    assert together["versions"]["detail"] == f"all {VERSION}"
    assert together["clocks"]["detail"] == "within 5 s of each other"
    async with registered(mesh, "attic", version="0.0.9", behind=3600):
        told = {row["check"]: row for row in (await nexus(home, "doctor", "--json")).json}
    assert told["version attic/adapter/main"]["detail"] == f"0.0.9; this command is {VERSION}"
    assert "nexus restart" in told["version attic/adapter/main"]["advice"]
    assert re.fullmatch(r"3[56]\d\d s behind the registry's", told["clock of attic"]["detail"])
    assert "NTP" in told["clock of attic"]["advice"]
    assert "clocks" not in told


@asynccontextmanager
async def registered(mesh: LiveMesh, node: str, *, version: str, behind: int) -> AsyncIterator[None]:
    """A machine that joins as machines do, and says of itself what it is told to; it leaves at the end."""
    request = identity_pb2.CreateJoinTokenRequest(role="adapter", node=node, name="main")
    async with control(mesh.layout, "vault") as vault:
        token = JoinToken.decode((await vault.unary(CREATE_TOKEN, request, timeout=5.0)).token)
    key = tls.new_key()
    joined = (await enrollment.join(token, tls.certificate_request(key))).certificate
    identity = Identity(Material(key, joined.chain_pem, joined.bundle_pem))
    name = role_server_name("registry", mesh.file.trust_domain)
    registry = Peer(mesh.file.control["registry"], name, identity)
    told = registry_pb2.RegisterRequest(port=1, version=version)
    told.status.state = instance_pb2.STATE_ACTIVE
    told.clock_time.FromSeconds(int(time.time()) - behind)
    try:
        await registry.unary(REGISTER, told, timeout=5.0)
        yield
        await registry.unary(DEREGISTER, registry_pb2.DeregisterRequest(), timeout=5.0)
    finally:
        await registry.close()


async def test_keys(home: Path) -> None:
    made = (await nexus(home, "keys", "create", "laptop", "--json")).json
    other = await nexus(home, "keys", "create", "phone", "--days", "1")
    assert other.code == 0
    secret = other.out.split()[0]
    listed = await nexus(home, "keys", "list", "--json")
    mine = {row["name"]: bool(row["expires"]) for row in listed.json if row["name"] in ("laptop", "phone")}
    assert mine == {"laptop": False, "phone": True}
    table = await nexus(home, "keys", "list")
    assert "laptop" in table.out
    for shown in (listed.out, table.out):
        assert secret not in shown
        assert made["secret"] not in shown
    assert (await nexus(home, "keys", "revoke", "phone")).code == 0
    assert (await nexus(home, "keys", "revoke", made["id"], "--json")).json["revoked"]
    assert (await nexus(home, "keys", "list")).out.count("revoked") == 2
    (await nexus(home, "keys", "revoke", "nobody")).assert_refused("no key", "name")


async def test_token_create(home: Path) -> None:
    made = (await nexus(home, "token", "create", "--node", "mac", "--json")).json
    assert made["token"].startswith("nxj_")
    shown = await nexus(home, "token", "create", "--node", "mac")
    assert shown.code == 0
    assert shown.out.startswith("nxj_")
    assert len(shown.out.split()) == 1, "the secret alone, for T=$(nexus token create ...)"
    assert "loopback only" in shown.err
    (await nexus(home, "token", "create", "--node", "No Such Name")).assert_refused("--node", "a-z")


@pytest.mark.parametrize("habit", [("--version",), ("-V",)])
async def test_the_version_by_habit(home: Path, habit: tuple[str, ...]) -> None:
    """E17"""
    assert (await command(home, *habit)).out == (await command(home, "version")).out


HELP = {("-h",): "keys", ("help",): "keys", ("keys", "-h"): "revoke", ("help", "keys"): "revoke",
        ("help", "keys", "create"): "--tenant", ("up", "-h"): "--listen"}  # fmt: skip


@pytest.mark.parametrize("habit", HELP)
async def test_help_by_habit(home: Path, habit: tuple[str, ...]) -> None:
    """E17"""
    told = await command(home, *habit)
    assert told.code == 0, told.err
    assert HELP[habit] in told.out
    assert "Usage: nexus" in told.out


async def test_help_of_what_is_none_says_so(home: Path) -> None:
    """E17"""
    (await command(home, "help", "statsu")).assert_refused("statsu", "status")


async def test_version(home: Path) -> None:
    told = (await command(home, "version", "--json")).json
    assert (await command(home, "version")).out == f"nexus {told['version']}\n"


async def test_no_secret_of_the_mesh_is_on_a_command_line_or_in_a_log(mesh: LiveMesh, home: Path) -> None:
    secret = (await nexus(home, "keys", "create", "hidden", "--json")).json["secret"]
    async with sdk(mesh, api_key=secret) as client:
        await client.models.list()
    for log in (home / "logs").glob("*.log"):
        assert secret not in log.read_text()
    assert secret not in json.dumps([unit.spec.command for unit in mesh.supervisor.units.values()])
