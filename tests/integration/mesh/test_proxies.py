"""E4: a proxy that the environment names for the web is asked for nothing within the mesh."""

from __future__ import annotations

import ssl

import grpc
import pytest
from nexus_mesh.core.errors import MeshError
from nexus_mesh.identity import tls
from nexus_mesh.identity.join_token import JoinToken
from nexus_mesh.process import enrollment
from nexus_mesh.rpc.channels import channel
from nexus_mesh.rpc.server import serve_public
from nexus_registry.etcd.connection import Connection
from support.ca import MeshCA
from support.echo_service import WAYS, complete, echo, peer_of

VARIABLES = ("grpc_proxy", "http_proxy", "https_proxy")


@pytest.fixture(params=VARIABLES)
def ca(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> MeshCA:
    """A mesh in an environment whose proxy is dead, as seen from elsewhere or by a wrong setting."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(request.param, "http://127.0.0.1:9")
    return MeshCA()


async def test_a_peer_is_called_directly(ca: MeshCA) -> None:
    async with echo(ca) as (server, _), peer_of(ca, server) as peer:
        assert (await peer.unary(WAYS["rpc"].complete, complete("deadline"), timeout=5)).body


async def test_a_token_is_redeemed_directly(ca: MeshCA) -> None:
    """The server here takes no tokens, and says so itself: it was reached."""
    identity = ca.identity("vault")
    async with serve_public([], "127.0.0.1", 0, identity) as port:
        root = ssl.PEM_cert_to_DER_cert(ca.bundle_pem.decode())
        token = JoinToken(f"127.0.0.1:{port}", identity.spiffe.server_name, root, "s" * 32)
        with pytest.raises(MeshError) as raised:
            await enrollment.join(token, tls.certificate_request(tls.new_key()))
    assert not raised.value.metadata.get("transport"), raised.value


async def test_etcd_is_reached_directly(ca: MeshCA) -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    connection = Connection(f"127.0.0.1:{port}", None)
    try:
        assert await connection.ready(5)
    finally:
        await connection.close()
        await server.stop(0)


async def test_the_proxy_would_else_be_asked(ca: MeshCA) -> None:
    """So that the tests above can fail."""
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with channel(f"127.0.0.1:{port}", None, (("grpc.enable_http_proxy", 1),)) as opened:
            while (state := opened.get_state(try_to_connect=True)) in (
                grpc.ChannelConnectivity.IDLE,
                grpc.ChannelConnectivity.CONNECTING,
            ):
                await opened.wait_for_state_change(state)
        assert state is grpc.ChannelConnectivity.TRANSIENT_FAILURE
    finally:
        await server.stop(0)
