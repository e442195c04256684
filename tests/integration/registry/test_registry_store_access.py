"""Only registries may talk to etcd, in every way it is started, whatever other identities of the mesh try."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import grpc
import pytest
import pytest_asyncio
from nexus_cli import etcd_door
from nexus_cli.doctor import etcd_doors
from nexus_cli.layout import Layout, MeshFile
from nexus_mesh.identity.roles import ROLES
from nexus_mesh.identity.tls import Material
from nexus_mesh.process.etcd_flags import EtcdPlaces, etcd_flags
from nexus_registry.etcd import EtcdClient, UnavailableError
from nexus_registry.instances import INSTANCES
from support.ca import MeshCA
from support.mesh_etcd import WAYS, client_of, compose_flags, mesh_etcd_started

OTHERS = tuple(role for role in ROLES if role != "registry")
STRANGERS = (*OTHERS, "no certificate", "a registry of another mesh")
DEEDS: dict[str, Callable[[EtcdClient], Awaitable[object]]] = {
    "read": lambda client: client.range(INSTANCES.prefix),
    "write": lambda client: client.put(INSTANCES.prefix + b"n1/adapter/forged", b"forged"),
    "delete": lambda client: client.delete(INSTANCES.prefix + b"n1/adapter/box"),
    "look": lambda client: client.status(),
}


@pytest_asyncio.fixture(params=WAYS)
async def endpoint(request: pytest.FixtureRequest, tmp_path: Path, mesh_ca: MeshCA) -> AsyncIterator[str]:
    async with mesh_etcd_started(request.param, tmp_path, mesh_ca) as endpoint:
        yield endpoint


@pytest.mark.security
async def test_nobody_but_a_registry_is_admitted(endpoint: str, mesh_ca: MeshCA) -> None:
    """A1: every other role, nobody, and a registry of another mesh; each may neither read, write, delete nor look."""
    held = []
    for stranger in STRANGERS:
        for deed, attempt in DEEDS.items():
            client = client_of(endpoint, mesh_ca, _credentials(mesh_ca, stranger))
            try:
                await attempt(client)
            except UnavailableError:
                held.append((stranger, deed))
            finally:
                await client.close()
    assert held == [(stranger, deed) for stranger in STRANGERS for deed in DEEDS]
    client = client_of(endpoint, mesh_ca, mesh_ca.identity("registry").channel_credentials)
    assert (await client.range(INSTANCES.prefix)).items == ()
    await client.close()


@pytest.mark.security
async def test_nobody_but_etcd_is_its_peer(tmp_path: Path, mesh_ca: MeshCA) -> None:
    """A1: whoever may speak raft to a member may write into its log."""
    async with mesh_etcd_started("nexus up", tmp_path, mesh_ca):
        (flag,) = [one for one in _command_line(tmp_path) if one.startswith("--listen-peer-urls=")]
        peer = flag.removeprefix("--listen-peer-urls=https://")
        shown = {role: mesh_ca.material(mesh_ca.spiffe(role), loopback=True) for role in ROLES}
        told = {role: await _members(peer, _context(mesh_ca, tmp_path, shown[role])) for role in ROLES}
        assert [role for role, answer in told.items() if answer == 200] == ["etcd"]
        assert await _members(peer, _context(mesh_ca, tmp_path, None)) is None


async def test_the_doctor_sees_whom_etcd_admits(endpoint: str, mesh_ca: MeshCA, tmp_path: Path) -> None:
    """A1: `nexus doctor` proves it by the same look."""
    admitted = [
        role for role in ROLES if await _admits(endpoint, mesh_ca, tmp_path, mesh_ca.identity(role).material)
    ]
    assert admitted == ["registry"]
    assert not await _admits(endpoint, mesh_ca, tmp_path, None)


@pytest.mark.parametrize("way", WAYS)
async def test_the_doctor_tells_an_open_etcd_from_a_closed_one(
    way: str, mesh_ca: MeshCA, tmp_path: Path
) -> None:
    """A1: the flag that admits registries alone, left out by whoever starts it."""
    layout = Layout(tmp_path / "home")
    layout.prepare()
    shown = mesh_ca.identity("operator").material
    layout.operator.mkdir()
    for name, content in (("key", shown.key_pem), ("chain", shown.chain_pem), ("bundle", shown.bundle_pem)):
        (layout.operator / f"{name}.pem").write_bytes(content)
    for without, ok in (((), True), (("--client-cert-allowed-hostname",), False)):
        folder = tmp_path / str(ok)
        folder.mkdir()
        async with mesh_etcd_started(way, folder, mesh_ca, without) as endpoint:
            layout.write(MeshFile("n1", mesh_ca.trust_domain, {"etcd": int(endpoint.rpartition(":")[2])}))
            (finding,) = await etcd_doors(layout)
            assert (finding.ok, "lets in the operator" in finding.detail) == (ok, not ok), finding
    (finding,) = await etcd_doors(layout)  # nobody is there any more
    assert not finding.ok


def test_compose_starts_etcd_by_the_same_table() -> None:
    """A1: flag by flag; what is in one and not in the other fails."""
    places = EtcdPlaces(
        data="/var/lib/nexus-etcd/data",
        certificates="/var/lib/nexus-etcd/certificates",
        listen="0.0.0.0:2379",
        advertised="etcd.nexus.internal:2379",
        peer="127.0.0.1:2380",
    )
    assert sorted(compose_flags()) == sorted(etcd_flags(places, "nexus.internal"))


async def test_etcd_without_the_meshs_name_is_not_believed(endpoint: str, mesh_ca: MeshCA) -> None:
    credentials = mesh_ca.identity("registry").channel_credentials
    client = EtcdClient([endpoint], credentials, server_name="vault.nexus.internal")
    with pytest.raises(UnavailableError):
        await client.put(INSTANCES.prefix + b"n1/adapter/x", b"")
    await client.close()


def _credentials(ca: MeshCA, stranger: str) -> Callable[[], grpc.ChannelCredentials]:
    if stranger in OTHERS:
        return ca.identity(stranger).channel_credentials
    if stranger == "no certificate":
        return lambda: grpc.ssl_channel_credentials(ca.bundle_pem)
    other = MeshCA().identity("registry")
    return lambda: grpc.ssl_channel_credentials(ca.bundle_pem, other.key_pem, other.chain_pem)


async def _admits(address: str, ca: MeshCA, folder: Path, shown: Material | None) -> bool:
    return await etcd_door.admits(address, _context(ca, folder, shown), ca.trust_domain)


async def _members(peer: str, context: ssl.SSLContext) -> int | None:
    """The status of what a member asks another one first; None when the handshake fails."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"https://{peer}/members", ssl=context) as answer:
                return answer.status
        except aiohttp.ClientError:
            return None


def _context(ca: MeshCA, folder: Path, shown: Material | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca.bundle_pem.decode())
    if shown is not None:
        both = folder / "shown.pem"
        both.write_bytes(shown.key_pem + shown.chain_pem)
        context.load_cert_chain(both)
    return context


def _command_line(folder: Path) -> list[str]:
    """That of the etcd whose log is in the folder."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_bytes().decode().split("\0")
        except OSError:
            continue
        if f"--data-dir={folder / 'data'}" in line:
            return line
    raise AssertionError("etcd does not run")
