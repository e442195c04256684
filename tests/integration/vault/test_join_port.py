"""The one door without a certificate: what strangers can make the vault hold is bounded."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
import pytest
import pytest_asyncio
from nexus.vault.v1 import identity_pb2
from nexus_mesh import enrollment, tls
from nexus_mesh.client import Peer
from nexus_mesh.join_token import JoinToken
from nexus_mesh.server import PUBLIC_CONNECTIONS
from nexus_mesh.spiffe import role_server_name
from nexus_mesh.tls import Identity, certificate_request, new_key
from support.processes import ChildProcess, free_port, start
from support.vault import CREATE_TOKEN
from support.waiting import eventually

pytestmark = pytest.mark.security

SENT = 20_000_000
MB = 1_000_000
NAME = role_server_name("vault", "nexus.internal")


@dataclass
class Door:
    """A vault in a process of its own, so that its memory is its own."""

    home: Path
    port: int
    join_port: int
    child: ChildProcess

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.child.process.pid)

    @property
    def bundle(self) -> bytes:
        return (self.home / "operator" / "bundle.pem").read_bytes()

    async def token(self) -> JoinToken:
        material = tls.load(self.home / "operator")
        assert material is not None
        peer = Peer(f"127.0.0.1:{self.port}", NAME, Identity(material))
        try:
            request = identity_pb2.CreateJoinTokenRequest(role="adapter", node="worker", name="main")
            return JoinToken.decode((await peer.unary(CREATE_TOKEN, request, timeout=5)).token)
        finally:
            await peer.close()


@pytest_asyncio.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    port, join_port = free_port(), free_port()
    told = {
        "home": str(tmp_path),
        "node": "box",
        "port": str(port),
        "join-port": str(join_port),
        "vault": f"127.0.0.1:{port}",
        "operator-dir": str(tmp_path / "operator"),
    }
    arguments = [word for name, value in told.items() for word in (f"--{name}", value)]
    child = start([sys.executable, "-m", "nexus_vault", *arguments], tmp_path / "log")
    try:
        run = tmp_path / "run" / "vault-main.json"
        await eventually(lambda: run.exists() or not child.alive, 30, "the start")
        assert child.alive, child.output()
        yield Door(tmp_path, port, join_port, child)
    finally:
        child.stop()


async def _flood(door: Door) -> str:
    """20 MB in one call, without a certificate; what the answer was."""
    options = (
        ("grpc.ssl_target_name_override", NAME),
        ("grpc.max_send_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),
    )
    credentials = grpc.ssl_channel_credentials(door.bundle)
    async with grpc.aio.secure_channel(f"127.0.0.1:{door.join_port}", credentials, options) as channel:
        call = channel.unary_unary("/nexus.vault.v1.JoinService/Join")
        try:
            await call(b"\x0a" + b"x" * SENT, timeout=60)
        except grpc.aio.AioRpcError as error:
            return error.code().name
    return "OK"


async def test_what_strangers_send_is_refused_unread(door: Door) -> None:
    """A4: 30 calls of 20 MB are refused, and the vault does not hold a tenth of one of them."""
    before = peak = door.process.memory_info().rss

    async def look() -> None:
        nonlocal peak
        while True:
            peak = max(peak, door.process.memory_info().rss)
            await asyncio.sleep(0.01)

    looking = asyncio.create_task(look())
    answers = await asyncio.gather(*(_flood(door) for _ in range(30)))
    looking.cancel()
    assert set(answers) == {"RESOURCE_EXHAUSTED"}
    assert peak - before < 30 * MB, (before // MB, peak // MB)
    await enrollment.join(await door.token(), certificate_request(new_key()))


async def test_connections_are_bounded_and_given_back(door: Door) -> None:
    """A4: more connections than the limit find no room, silent ones are closed, and then members join again."""
    free = door.process.num_fds()
    silent = [
        socket.create_connection(("127.0.0.1", door.join_port), 5) for _ in range(3 * PUBLIC_CONNECTIONS)
    ]
    await asyncio.sleep(0)
    assert door.process.num_fds() - free <= PUBLIC_CONNECTIONS + 8
    for connection in silent:
        connection.close()
    await eventually(lambda: door.process.num_fds() <= free + 8, 30, "the connections given back")
    await enrollment.join(await door.token(), certificate_request(new_key()))
