"""The vault as a process: starts from nothing, lets members in, turns out who is denied, ends cleanly, starts again."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from nexus.vault.v1 import identity_pb2, keys_pb2
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.identity import tls
from nexus_mesh.identity.join_token import JoinToken
from nexus_mesh.identity.spiffe import role_server_name
from nexus_mesh.identity.tls import Identity, Material
from nexus_mesh.process import enrollment, run_file
from nexus_mesh.rpc.client import Peer
from support.processes import ChildProcess, free_port, start
from support.vault import CREATE_TOKEN, DENY, WATCH_KEYS, WATCH_TRUST
from support.waiting import eventually


class VaultProcess:
    """One home, one port, one process at a time."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.child: ChildProcess | None = None

    async def start(self, **options: str) -> ChildProcess:
        told = {"home": str(self.home), "node": "box", "port": str(self.port), "join-port": "0", **options}
        told |= {"vault": f"127.0.0.1:{self.port}", "operator-dir": str(self.home / "operator")}
        arguments = [word for name, value in told.items() for word in (f"--{name}", value)]
        child = start([sys.executable, "-m", "nexus_vault", *arguments], self.home / "log")
        self.child = child
        run = self.home / "run" / "vault-main.json"
        await eventually(lambda: run.exists() or not child.alive, 30, "the start")
        return child

    def operator(self) -> Peer:
        material = tls.load(self.home / "operator")
        assert material is not None
        return self.peer(Identity(material))

    def peer(self, identity: Identity) -> Peer:
        return Peer(f"127.0.0.1:{self.port}", role_server_name("vault", "nexus.internal"), identity)


@pytest_asyncio.fixture
async def vault(tmp_path: Path) -> AsyncIterator[VaultProcess]:
    process = VaultProcess(tmp_path)
    try:
        yield process
    finally:
        if process.child is not None:
            process.child.stop()


async def _join(vault: VaultProcess, role: str) -> Identity:
    operator = vault.operator()
    try:
        request = identity_pb2.CreateJoinTokenRequest(role=role, node="worker", name="main")
        token = JoinToken.decode((await operator.unary(CREATE_TOKEN, request, timeout=5)).token)
    finally:
        await operator.close()
    key = tls.new_key()
    joined = (await enrollment.join(token, tls.certificate_request(key))).certificate
    return Identity(Material(key, joined.chain_pem, joined.bundle_pem))


async def test_who_was_let_in_is_known_after_a_restart(vault: VaultProcess) -> None:
    child = await vault.start()
    assert child.alive, child.output()
    (running,) = run_file.read_all(vault.home)
    assert (running.role, running.address) == ("vault", f"127.0.0.1:{vault.port}")
    identity = await _join(vault, "adapter")
    assert child.stop() == 0
    child = await vault.start()
    assert child.alive, child.output()
    peer = vault.peer(identity)
    async with peer.stream(WATCH_TRUST, identity_pb2.WatchTrustRequest(), timeout=10) as call:
        assert (await anext(aiter(call))).bundle_pem == identity.bundle_pem
    await peer.close()


async def test_the_open_stream_of_the_denied_is_cut(vault: VaultProcess) -> None:
    child = await vault.start()
    assert child.alive, child.output()
    identity = await _join(vault, "gateway")
    peer, operator = vault.peer(identity), vault.operator()
    async with peer.stream(WATCH_KEYS, keys_pb2.WatchKeysRequest(), timeout=10) as call:
        watch = aiter(call)
        assert (await anext(watch)).WhichOneof("event") == "synced"
        denial = identity_pb2.DenyIdentityRequest(spiffe_id=str(identity.spiffe))
        await operator.unary(DENY, denial, timeout=5)
        with pytest.raises(MeshError) as end:
            await anext(watch)
    await peer.close()
    await operator.close()
    assert end.value.reason is Reason.MESH_IDENTITY, child.output()


async def test_a_wrong_seal_key_ends_the_start_with_its_name(vault: VaultProcess) -> None:
    child = await vault.start()
    assert child.stop() == 0
    key = vault.home / "vault" / "seal.key"
    key.write_text("A" * 43 + "=")
    child = await vault.start()
    assert child.process.wait(10) == 1
    assert str(key) in child.output()
    assert "Traceback" not in child.output()
