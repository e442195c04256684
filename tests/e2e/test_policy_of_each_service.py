"""The policy table as each service's own process keeps it: every method, as every role, at every instance.

The matrix in tests/integration holds the table against one server that offers everything. Here the servers are those
that `nexus up` starts, so a service that is put together differently cannot slip past the table.

The calls are made by a node of their own, `stranger`, whose certificates are real ones of the mesh: what a request
changes for its caller (Deregister, KeepAlive, Renew) it changes for an identity that nothing runs under. All requests
are empty, which creates, withdraws and revokes nothing. Each test looks at its end whether it left the mesh alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import pytest
import pytest_asyncio
from nexus.registry.v1.instance_pb2 import Instance
from nexus.vault.v1 import identity_pb2
from nexus_cli.bootstrap import CREATE_TOKEN
from nexus_cli.instances import listed
from nexus_cli.operator import control
from nexus_mesh.identity import tls
from nexus_mesh.identity.join_token import JoinToken
from nexus_mesh.identity.roles import ROLE_TABLE, ROLES
from nexus_mesh.identity.spiffe import role_server_name
from nexus_mesh.identity.tls import Identity, Material
from nexus_mesh.process import enrollment
from nexus_mesh.rpc.policy import PUBLIC, may_call
from support.ca import MeshCA
from support.contract import Rpc
from support.every_service import BUILT_IN
from support.fake_openai import FakeOpenAI
from support.live_mesh import LiveMesh, backend, live_mesh
from support.verdicts import ABSENT, REFUSED, RPCS, THROUGH, UNREACHED, described, verdicts
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

NODE = "stranger"
SERVED = tuple(role for role in ROLES if ROLE_TABLE[role].module)


@dataclass(frozen=True)
class Running:
    """A mesh, what it consists of, and for each role an identity that nothing in it runs under."""

    mesh: LiveMesh
    instances: list[Instance]
    pids: dict[str, int]
    members: dict[str, Identity]

    @property
    def bundle_pem(self) -> bytes:
        return self.members["operator"].bundle_pem

    def of(self, role: str) -> list[Instance]:
        """Never empty: the fixture waits for all."""
        return [instance for instance in self.instances if instance.role == role]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """One mesh for all tests, since none of them changes it."""
    async with FakeOpenAI() as fake:
        home, config = tmp_path_factory.mktemp("policy"), backend("box", fake.url) + "[store]\n"
        async with live_mesh(home, config) as mesh:
            await eventually(lambda: _is_complete(mesh), timeout=30, what="every service in the registry")
            members = {role: await _member(mesh, role) for role in ROLES}
            yield Running(mesh, await listed(mesh.layout), _pids(mesh), members)


@pytest.mark.parametrize("service", SERVED)
async def test_each_role_gets_what_the_table_says_and_nothing_else(running: Running, service: str) -> None:
    """What an instance does not offer by its own word must not answer either: nothing is served in secret."""
    for instance in running.of(service):
        offered = await _offered(running, instance)
        wanted = {(role, rpc.path): _wanted(role, rpc, offered, service) for role in ROLES for rpc in RPCS}
        got = {
            (role, path): verdict
            for role, identity in running.members.items()
            for path, verdict in (await _verdicts(instance, identity.channel_credentials())).items()
        }
        print(f"{instance.id}: {dict(Counter(got.values()))}")
        wrong = [f"{call}: {got[call]}, wanted: {want}" for call, want in wanted.items() if got[call] != want]
        assert not wrong, "\n".join([instance.id, *wrong])
    await _assert_left_alone(running)


async def test_between_them_they_offer_the_whole_contract(running: Running) -> None:
    """A service that offers nothing would pass the test above."""
    offered = {role: await _offered(running, running.of(role)[0]) for role in SERVED}
    assert all(any(not name.startswith(BUILT_IN) for name in names) for names in offered.values()), offered
    assert set().union(*offered.values()) == {rpc.service for rpc in RPCS if rpc.path not in PUBLIC}


@pytest.mark.parametrize("kind", ["no certificate", "a certificate of another CA"])
@pytest.mark.parametrize("service", SERVED)
async def test_outsiders_reach_nothing(running: Running, service: str, kind: str) -> None:
    """The other CA's operator has the very name of ours, which gets in: who signed it is all that differs."""
    foreign = MeshCA().material(running.members["operator"].spiffe)
    pair = (foreign.key_pem, foreign.chain_pem) if kind != "no certificate" else (None, None)
    for instance in running.of(service):
        got = await _verdicts(instance, grpc.ssl_channel_credentials(running.bundle_pem, *pair))
        assert set(got.values()) == {UNREACHED}, got
    await _assert_left_alone(running)


@pytest.mark.parametrize("role", [None, "operator"])
async def test_the_join_port_lets_everybody_join_and_no_more(running: Running, role: str | None) -> None:
    """The one port that outsiders do reach; a certificate, even the operator's, opens nothing else there."""
    anonymous = grpc.ssl_channel_credentials(running.bundle_pem)
    credentials = anonymous if role is None else running.members[role].channel_credentials()
    server_name = role_server_name("vault", running.mesh.file.trust_domain)
    door = Instance(address=running.mesh.file.control["join"], server_name=server_name)
    got = await _verdicts(door, credentials)
    assert got == {rpc.path: THROUGH if rpc.path in PUBLIC else ABSENT for rpc in RPCS}
    await _assert_left_alone(running)


def _wanted(role: str, rpc: Rpc, offered: set[str], service: str) -> str:
    if rpc.service not in offered:
        return ABSENT
    return THROUGH if may_call(role, rpc.path, service) else REFUSED


async def _offered(running: Running, instance: Instance) -> set[str]:
    credentials = running.members["operator"].channel_credentials()
    return await asyncio.to_thread(described, instance.address, instance.server_name, credentials)


async def _verdicts(instance: Instance, credentials: grpc.ChannelCredentials) -> dict[str, str]:
    return await asyncio.to_thread(verdicts, instance.address, instance.server_name, credentials)


async def _member(mesh: LiveMesh, role: str) -> Identity:
    """An identity got as members get theirs. The vault makes tokens for every role, so none is left out."""
    claims = identity_pb2.Claims(tenant="default") if role == "client" else None
    request = identity_pb2.CreateJoinTokenRequest(role=role, node=NODE, name="main", claims=claims)
    async with control(mesh.layout, "vault") as vault:
        token = JoinToken.decode((await vault.unary(CREATE_TOKEN, request, timeout=5.0)).token)
    key = tls.new_key()
    joined = (await enrollment.join(token, tls.certificate_request(key))).certificate
    return Identity(Material(key, joined.chain_pem, joined.bundle_pem))


async def _is_complete(mesh: LiveMesh) -> bool:
    return {instance.role for instance in await listed(mesh.layout)} >= {*SERVED}


def _pids(mesh: LiveMesh) -> dict[str, int]:
    return {name: mesh.pid(name) for name in mesh.supervisor.units}


async def _assert_left_alone(running: Running) -> None:
    """The same processes run, and just these are registered: nobody has left or come in."""
    assert _pids(running.mesh) == running.pids
    ids = sorted(instance.id for instance in await listed(running.mesh.layout))
    assert ids == sorted(instance.id for instance in running.instances)
