"""What somebody sends who may not is refused unread: a certificate of the mesh is no way to fill its memory."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from nexus_mesh.core.errors import Reason
from nexus_mesh.rpc.channels import MAX_MESSAGE, channel
from nexus_mesh.rpc.doorkeeper import READS
from nexus_mesh.rpc.server import start_server
from nexus_mesh.rpc.status import from_rpc_error
from support.attacks import Attacks
from support.ca import MeshCA
from support.echo_service import COMPLETE, STREAM, echo
from support.every_service import servicers
from support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.security

LARGE = b"\x7a\x80\xac\xe8\x09" + b"\0" * 20_583_936
"""A field nobody knows, a little below the largest message."""
CALLS = 8
SENDS = (("grpc.max_send_message_length", -1),)


@pytest.mark.parametrize("method", [COMPLETE.path, STREAM.path])
@pytest.mark.parametrize("role", ["adapter", "registry", "vault"])
async def test_a_member_that_may_not_call_sends_in_vain(
    mesh_ca: MeshCA, attacks: Attacks, method: str, role: str
) -> None:
    """A4: 24 calls of 19 MB with a worker's certificate took 770 MB of each service, and were refused after."""
    attacks.count(CALLS)
    assert len(LARGE) < MAX_MESSAGE
    async with echo(mesh_ca) as (server, _), TcpProxy(f"127.0.0.1:{server.port}") as proxy:
        name = mesh_ca.spiffe("adapter").server_name
        options = (("grpc.ssl_target_name_override", name), *SENDS)
        async with channel(proxy.endpoint, mesh_ca.identity(role).channel_credentials(), options) as opened:
            verdicts = await asyncio.gather(*(_send(opened, method) for _ in range(CALLS)))
    assert set(verdicts) == {Reason.MESH_POLICY}
    assert proxy.sent < CALLS * len(LARGE) / 2


@pytest.mark.parametrize("role", ["vault", "registry", "router"])
async def test_nothing_large_is_sent_to_the_control_plane(
    mesh_ca: MeshCA, attacks: Attacks, role: str
) -> None:
    """A4: also by who may call, and for what anybody may."""
    attacks.count()
    server = await start_server(
        servicers(), host="127.0.0.1", port=0, identity=mesh_ca.identity(role), denied=set()
    )
    try:
        options = (("grpc.ssl_target_name_override", mesh_ca.spiffe(role).server_name), *SENDS)
        credentials = mesh_ca.identity("adapter").channel_credentials()
        async with channel(f"127.0.0.1:{server.port}", credentials, options) as opened:
            assert await _send(opened, "/grpc.health.v1.Health/Check", LARGE) is not None
            assert await _send(opened, "/grpc.health.v1.Health/Check", b"") is None
    finally:
        await server.drain(settle=0, grace=0)


async def test_who_asks_much_at_once_is_answered_all_the_same(mesh_ca: MeshCA) -> None:
    server = await start_server(
        servicers(), host="127.0.0.1", port=0, identity=mesh_ca.identity("vault"), denied=set()
    )
    try:
        options = (("grpc.ssl_target_name_override", mesh_ca.spiffe("vault").server_name),)
        credentials = mesh_ca.identity("gateway").channel_credentials()
        async with channel(f"127.0.0.1:{server.port}", credentials, options) as opened:
            calls = (_send(opened, "/grpc.health.v1.Health/Check", b"") for _ in range(50 * READS))
            assert set(await asyncio.gather(*calls)) == {None}
    finally:
        await server.drain(settle=0, grace=0)


async def _send(opened: grpc.aio.Channel, method: str, message: bytes = LARGE) -> Reason | None:
    """Why the call was refused, None when it was not."""
    try:
        await opened.unary_unary(method, bytes, bytes)(message, timeout=60)
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error).reason
    return None
