"""Every method as every role and as every kind of stranger, over real mutual TLS."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
import structlog
from nexus_mesh.core.errors import Reason
from nexus_mesh.identity.roles import ROLES
from nexus_mesh.identity.tls import Identity, Material
from nexus_mesh.rpc.middleware import Report
from nexus_mesh.rpc.policy import PUBLIC, may_call
from nexus_mesh.rpc.server import MeshServer, serve_public, start_server
from nexus_mesh.rpc.status import from_rpc_error
from support.ca import MeshCA
from support.contract import Rpc, rpcs
from support.every_service import BUILT_IN, servicers
from support.verdicts import REFUSED, THROUGH, verdicts

RPCS = rpcs()


@pytest.fixture(scope="module")
def ca() -> MeshCA:
    return MeshCA()


@pytest_asyncio.fixture
async def server(ca: MeshCA) -> AsyncIterator[MeshServer]:
    started = await start_server(
        servicers(), host="127.0.0.1", port=0, identity=ca.identity("registry"), denied=set()
    )
    yield started
    await started.drain(settle=0, grace=0)


@pytest.mark.parametrize("serving", ["registry", "gateway", "adapter"])
@pytest.mark.parametrize("role", ROLES)
async def test_each_role_gets_what_the_table_says_and_nothing_else(
    ca: MeshCA, role: str, serving: str
) -> None:
    """Those of one role are not let in like those of another: a client may ask gateways and no adapter."""
    server = await start_server(
        servicers(), host="127.0.0.1", port=0, identity=ca.identity(serving), denied=set()
    )
    where = (f"127.0.0.1:{server.port}", ca.spiffe(serving).server_name)
    got = await asyncio.to_thread(verdicts, *where, ca.identity(role).channel_credentials())
    assert got == {rpc.path: THROUGH if may_call(role, rpc.path, serving) else REFUSED for rpc in RPCS}
    await server.drain(settle=0, grace=0)


def _strangers(ca: MeshCA) -> dict[str, Material]:
    operator = ca.spiffe("operator")
    two = [str(operator), str(ca.spiffe("gateway"))]
    foreign = "spiffe://other.internal/zone/default/node/n1/operator/main"
    return {
        "expired": ca.material(operator, life=-datetime.timedelta(hours=1)),
        "wrong CA": MeshCA().material(operator),
        "two names": ca.material(operator, uris=two),
        "no name": ca.material(operator, uris=[]),
        "another mesh's name": ca.material(operator, uris=[foreign]),
        "not a mesh name": ca.material(operator, uris=["https://example.com/operator"]),
    }


@pytest.mark.parametrize(
    "kind", ["expired", "wrong CA", "two names", "no name", "another mesh's name", "not a mesh name"]
)
async def test_strangers_reach_nothing(ca: MeshCA, server: MeshServer, kind: str) -> None:
    material = _strangers(ca)[kind]
    credentials = grpc.ssl_channel_credentials(ca.bundle_pem, material.key_pem, material.chain_pem)
    verdicts = await _all_verdicts(ca, server.port, credentials)
    assert verdicts <= {Reason.MESH_IDENTITY, Reason.BACKEND_DOWN}


async def test_without_a_certificate_nothing_is_reached(ca: MeshCA, server: MeshServer) -> None:
    assert await _all_verdicts(ca, server.port, grpc.ssl_channel_credentials(ca.bundle_pem)) == {
        Reason.BACKEND_DOWN
    }


async def test_in_plain_text_nothing_is_reached(server: MeshServer) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        assert {await _verdict(channel, rpc) for rpc in RPCS[:3]} == {Reason.BACKEND_DOWN}


async def test_a_withdrawn_identity_is_refused_and_its_open_stream_cut(ca: MeshCA) -> None:
    denied: set[str] = set()
    server = await start_server(
        servicers(), host="127.0.0.1", port=0, identity=ca.identity("vault"), denied=denied
    )
    identity = ca.identity("operator")
    health = next(rpc for rpc in RPCS if rpc.path == "/grpc.health.v1.Health/Check")
    async with _channel(ca, server.port, identity, "vault") as channel:
        assert await _verdict(channel, health) is None
        denied.add(str(identity.spiffe))
        assert await _verdict(channel, health) is Reason.MESH_IDENTITY
    await server.drain(settle=0, grace=0)


async def test_the_join_port_serves_strangers_the_public_methods_only(ca: MeshCA) -> None:
    async with serve_public(servicers(), "127.0.0.1", 0, ca.identity("vault")) as port:
        name = ca.spiffe("vault").server_name
        options = (("grpc.ssl_target_name_override", name),)
        credentials = grpc.ssl_channel_credentials(ca.bundle_pem)
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
            for rpc in RPCS:
                verdict = await _verdict(channel, rpc)
                built_in = rpc.service.startswith(BUILT_IN)
                assert verdict is (
                    None if rpc.path in PUBLIC else Reason.INTERNAL if built_in else Reason.MESH_POLICY
                )


async def test_one_service_cannot_pass_for_another(ca: MeshCA, server: MeshServer) -> None:
    wrong = ca.spiffe("vault").server_name
    options = (("grpc.ssl_target_name_override", wrong),)
    credentials = ca.identity("operator").channel_credentials()
    async with grpc.aio.secure_channel(f"127.0.0.1:{server.port}", credentials, options) as channel:
        assert await _verdict(channel, RPCS[0]) is Reason.BACKEND_DOWN


def _channel(ca: MeshCA, port: int, identity: Identity, role: str = "registry") -> grpc.aio.Channel:
    options = (("grpc.ssl_target_name_override", ca.spiffe(role).server_name),)
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", identity.channel_credentials(), options)


async def _all_verdicts(ca: MeshCA, port: int, credentials: grpc.ChannelCredentials) -> set[Reason | None]:
    options = (("grpc.ssl_target_name_override", ca.spiffe("registry").server_name),)
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        return {await _verdict(channel, rpc) for rpc in RPCS}


async def _verdict(channel: grpc.aio.Channel, rpc: Rpc) -> Reason | None:
    """None when the call got through, else why not."""
    kind = f"{'stream' if rpc.client_streaming else 'unary'}_{'stream' if rpc.server_streaming else 'unary'}"
    method = getattr(channel, kind)(rpc.path, rpc.request.SerializeToString, rpc.response.FromString)
    call = method(iter([rpc.request()]) if rpc.client_streaming else rpc.request(), timeout=5)
    try:
        if rpc.server_streaming:
            await anext(aiter(call), None)
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error).reason
    finally:
        call.cancel()
    return None


@pytest.mark.security
async def test_the_log_names_who_is_refused_and_is_no_flood(ca: MeshCA) -> None:
    """A2a: a refused peer is named; one that tries a hundred times fills no log."""
    identity = ca.identity("operator", "stubborn")
    server = await start_server(
        servicers(), host="127.0.0.1", port=0, identity=ca.identity("vault"), denied={str(identity.spiffe)}
    )
    health = next(rpc for rpc in RPCS if rpc.path == "/grpc.health.v1.Health/Check")
    with structlog.testing.capture_logs() as logs:
        async with _channel(ca, server.port, identity, "vault") as channel:
            assert {await _verdict(channel, health) for _ in range(100)} == {Reason.MESH_IDENTITY}
    await server.drain(settle=0, grace=0)
    told = [entry for entry in logs if entry["event"] == "call refused"]
    assert {entry["peer"] for entry in told} == {str(identity.spiffe)}
    assert len(told) <= Report.LOGGED
