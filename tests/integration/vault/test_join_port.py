"""The one door without a certificate: what strangers can make the vault hold is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
import pytest
import pytest_asyncio
from nexus.vault.v1 import identity_pb2
from nexus_mesh.identity import tls
from nexus_mesh.identity.join_token import JoinToken
from nexus_mesh.identity.spiffe import role_server_name
from nexus_mesh.identity.tls import Identity, certificate_request, new_key
from nexus_mesh.process import enrollment
from nexus_mesh.rpc.client import Peer
from nexus_mesh.rpc.server import PUBLIC_CONNECTIONS
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


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, RESET, SETTINGS, PING, GOAWAY, CONTINUATION = 1, 3, 4, 6, 7, 9
END_STREAM, END_HEADERS = 1, 4


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def _field(name: bytes, value: bytes) -> bytes:
    """One header as a literal that is not remembered; both parts shorter than 127 bytes."""
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


CALL = b"".join(
    _field(name, value)
    for name, value in (
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", b"/nexus.vault.v1.JoinService/Join"),
        (b":authority", NAME.encode()),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    )
)
FLOODS = {
    "pings": [_frame(PING, 0, 0, b"\0" * 8)] * 20_000,
    "settings": [_frame(SETTINGS, 0, 0)] * 20_000,
    "empty continuations": [
        _frame(HEADERS, 0, 1, CALL),
        *([_frame(CONTINUATION, 0, 1)] * 20_000),
    ],
    "calls taken back at once": [
        _frame(HEADERS, END_HEADERS, number, CALL) + _frame(RESET, 0, number, b"\0\0\0\x08")
        for number in range(1, 20_001, 2)
    ],
}


@pytest.mark.parametrize("name", FLOODS)
async def test_floods_of_frames_cost_a_stranger_its_connection_and_nobody_else_anything(
    door: Door, name: str
) -> None:
    """A4: HTTP/2 itself has ways to make work without ever sending a request."""
    before = door.process.memory_info().rss
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", door.join_port, ssl=context)
    reading = asyncio.create_task(reader.read())
    writer.write(PREFACE + _frame(SETTINGS, 0, 0))
    with contextlib.suppress(OSError):
        for frame in FLOODS[name]:
            writer.write(frame)
            await writer.drain()
    await enrollment.join(await door.token(), certificate_request(new_key()))
    assert door.process.memory_info().rss - before < 30 * MB
    writer.transport.abort()
    with contextlib.suppress(OSError):
        said = await reading
        if name == "pings":
            assert _frame(GOAWAY, 0, 0)[3:5] in said
            assert b"too_many_pings" in said
