"""A gRPC server of the mesh: mTLS, the middleware list, health, reflection, and an orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc

# Generated code has no types.
from grpc_health.v1.health_pb2_grpc import (
    add_HealthServicer_to_server,  # pyright: ignore[reportUnknownVariableType]
)
from nexus.mesh.v1.tunnel_pb2_grpc import (
    add_TunnelServiceServicer_to_server,  # pyright: ignore[reportUnknownVariableType]
)

from nexus_mesh.core import addresses, telemetry
from nexus_mesh.identity import Identity
from nexus_mesh.rpc import middleware
from nexus_mesh.rpc.channels import MAX_MESSAGE, Options, merged
from nexus_mesh.rpc.handlers import HandlerTable, OpenStreams
from nexus_mesh.rpc.health import HealthServicer
from nexus_mesh.rpc.middleware import Guard
from nexus_mesh.rpc.policy import policy_at
from nexus_mesh.rpc.reflection import add_reflection
from nexus_mesh.rpc.tracing import Trace
from nexus_mesh.rpc.tunnel.server import TunnelServicer

__all__ = ["MeshServer", "Servicer", "serve_public", "start_server"]

CONTROL_MESSAGE = 4 * 1024 * 1024
"""Nobody sends prompts to who is no gateway and no adapter."""
CARRIERS = frozenset({"gateway", "adapter"})
OPTIONS: Options = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.max_concurrent_streams", 4096),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 2_000),
    ("grpc.http2.max_ping_strikes", 0),
)

UNREAD: Options = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 64 * 1024))
"""Where programs call that are no service of ours: else the library takes in all that is sent, read or not."""

# What anybody may send. A request to join has some hundred bytes; nothing is reserved for more before it is read.
PUBLIC_MESSAGE = 64 * 1024
PUBLIC_CALLS = 64
PUBLIC_CONNECTIONS = 128
PUBLIC_OPTIONS: Options = (
    ("grpc.max_receive_message_length", PUBLIC_MESSAGE),
    ("grpc.max_send_message_length", PUBLIC_MESSAGE),
    ("grpc.max_concurrent_streams", 4),
    ("grpc.http2.lookahead_bytes", PUBLIC_MESSAGE),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.max_ping_strikes", 2),
    ("grpc.max_allowed_incoming_connections", PUBLIC_CONNECTIONS),
    ("grpc.max_connection_idle_ms", 10_000),
    ("grpc.max_connection_age_ms", 60_000),
    ("grpc.max_connection_age_grace_ms", 5_000),
    ("grpc.server_handshake_timeout_ms", 5_000),
)


@dataclass(frozen=True, slots=True)
class Servicer:
    """An implementation and the generated function that adds it to a server."""

    implementation: object
    add: Callable[..., None]


class MeshServer:
    """A started server."""

    def __init__(
        self,
        server: grpc.aio.Server,
        port: int,
        checks: HealthServicer,
        streams: OpenStreams,
        tunnels: TunnelServicer,
    ) -> None:
        self.port = port
        self.streams = streams
        self._server = server
        self._health = checks
        self._tunnels = tunnels

    async def drain(self, *, settle: float, grace: float) -> None:
        """NOT_SERVING, a moment for the news to travel, GOAWAY, then up to `grace` seconds for what still runs."""
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(settle)
        self.streams.end_endless()
        self._tunnels.drain()
        await self._server.stop(grace)


async def start_server(
    servicers: Sequence[Servicer], *, host: str, port: int, identity: Identity, denied: AbstractSet[str]
) -> MeshServer:
    """Serves over mTLS on host:port (0 = any). Raises OSError when the port is taken."""
    most = MAX_MESSAGE if identity.spiffe.role in CARRIERS else CONTROL_MESSAGE
    options = merged(OPTIONS, [("grpc.max_receive_message_length", most)])
    if identity.spiffe.role == "gateway":
        options = merged(options, UNREAD)
    server, streams = grpc.aio.server(options=options), OpenStreams()
    guard = Guard(identity.spiffe.trust_domain, denied, policy_at(identity.spiffe.role))
    provider = telemetry.tracer_provider()
    chain = middleware.MESH if provider is None else (Trace(provider), *middleware.MESH)
    table = HandlerTable(server, chain, streams, guard)
    for servicer in servicers:
        servicer.add(servicer.implementation, table)
    tunnels = TunnelServicer(table.handlers, MAX_MESSAGE)
    add_TunnelServiceServicer_to_server(tunnels, table)
    checks = HealthServicer(tuple(table.services))
    await checks.serve()
    add_HealthServicer_to_server(checks, table)
    add_reflection(table)
    bound = await _bind(server, host, port, identity.server_credentials())
    return MeshServer(server, bound, checks, streams, tunnels)


@asynccontextmanager
async def serve_public(
    servicers: Sequence[Servicer], host: str, port: int, identity: Identity
) -> AsyncGenerator[int, None]:
    """Serves methods of the PUBLIC table to callers without a certificate; yields the bound port."""
    server = grpc.aio.server(options=merged(OPTIONS, PUBLIC_OPTIONS), maximum_concurrent_rpcs=PUBLIC_CALLS)
    guard = Guard(identity.spiffe.trust_domain, frozenset(), policy_at(identity.spiffe.role))
    table = HandlerTable(server, middleware.PUBLIC_EDGE, OpenStreams(), guard)
    for servicer in servicers:
        servicer.add(servicer.implementation, table)
    bound = await _bind(server, host, port, identity.server_credentials(client_certificate=False))
    try:
        yield bound
    finally:
        await server.stop(1)


async def _bind(server: grpc.aio.Server, host: str, port: int, credentials: grpc.ServerCredentials) -> int:
    address = addresses.join(host, port)
    try:
        bound = server.add_secure_port(address, credentials)
    except RuntimeError:
        bound = 0
    if not bound:
        raise OSError(f"cannot listen on {address}: the port is taken or the address is not this machine's")
    await server.start()
    return bound
