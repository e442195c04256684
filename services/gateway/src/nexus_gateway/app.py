"""Puts the gateway together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from nexus.inference.v1.inference_pb2_grpc import add_InferenceServiceServicer_to_server
from nexus.inference.v1.realtime_pb2_grpc import add_RealtimeServiceServicer_to_server
from nexus.registry.v1 import instance_pb2
from nexus_mesh.core import addresses
from nexus_mesh.process import Finder, Mesh, Servicer

from nexus_gateway.access import Authenticator, Members, VaultKeys
from nexus_gateway.admission import Admission
from nexus_gateway.announcing import announce
from nexus_gateway.config import GatewaySettings
from nexus_gateway.core import limits_by_model
from nexus_gateway.dialects import RealtimeSessions, error_body
from nexus_gateway.dispatch import Dispatcher, RetryBudget
from nexus_gateway.fetching import Fetching
from nexus_gateway.files import FileStore
from nexus_gateway.fleet import (
    Acquaintance,
    Breakers,
    Bulkheads,
    Peers,
    Reachability,
    RoutingTable,
    SnapshotFile,
    Traffic,
    follow_snapshots,
    keep_saved,
    start_from_saved,
)
from nexus_gateway.http import MIB, EdgeOptions, HttpServer, Limits, local_names, serve_http
from nexus_gateway.intake import BodyBudget, body_bytes, memory_limit
from nexus_gateway.management import Lifecycle
from nexus_gateway.metering import observe
from nexus_gateway.pipeline import Pipeline
from nexus_gateway.realtime_service import RealtimeServicer
from nexus_gateway.routes import SOCKETS, build_app, open_intake
from nexus_gateway.service import InferenceServicer
from nexus_gateway.work import LongWork

__all__ = ["build_pipeline", "open_gateway"]


@asynccontextmanager
async def open_gateway(mesh: Mesh[GatewaySettings]) -> AsyncIterator[Sequence[Servicer]]:
    """Serves HTTP at once; it says itself what is missing until the router and a backend are there."""
    settings = mesh.settings
    # Open means: anyone on this machine. A web page that rebinds its name to loopback is not meant.
    options = EdgeOptions(
        allowed_hosts=None if settings.needs_key else local_names(settings.hosts),
        origins=settings.origins,
        needs_key=settings.needs_key,
        expose_metrics=not settings.needs_key,
        limits=Limits(
            connections=settings.connections,
            bodies_bytes=settings.body_memory * MIB
            if settings.body_memory is not None
            else body_bytes(memory_limit()),
            tenant_share=settings.body_share,
            upload_bytes=settings.upload_size * MIB,
            spool_bytes=settings.spool_size * MIB,
        ),
        spool=_spool(settings),
    )
    intake = open_intake(options.limits, fetches=settings.fetch_urls)
    pipeline = build_pipeline(mesh, intake.bodies)
    sessions = RealtimeSessions(pipeline)
    http = await serve_http(
        build_app(pipeline, options, intake, sessions),
        error_body,
        settings.http_host,
        settings.http_port,
        options.limits,
        SOCKETS,
    )
    _advertise(mesh, http)
    ending = [mesh.spawn(_drain(mesh, http), name="http drain")]
    if settings.announce and not addresses.is_loopback(http.host):
        announcing = announce(settings, http.host, http.port, mesh.draining)
        ending.append(mesh.spawn(announcing, name="announcement"))
    members = Members()
    mesh.spawn(members.follow(mesh.control("vault")), name="tenant watch")
    try:
        servicer = InferenceServicer(pipeline, intake, members, options.limits.upload_bytes)
        realtime = RealtimeServicer(sessions, members, intake)
        yield [
            Servicer(servicer, add_InferenceServiceServicer_to_server),
            Servicer(realtime, add_RealtimeServiceServicer_to_server),
        ]
    finally:
        if mesh.draining.is_set():
            await asyncio.gather(*ending)
        else:
            for task in ending:
                task.cancel()
            await http.close(0)
        await pipeline.fetching.close()


def _spool(settings: GatewaySettings) -> Path:
    """Where files are kept on their way: on disk, as temporary folders often are not."""
    folder = settings.spool or settings.home / "gateway"
    with suppress(OSError):  # who needs it is told
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def build_pipeline(mesh: Mesh[GatewaySettings], bodies: BodyBudget | None = None) -> Pipeline:
    """The pipeline with all that feeds it, running as tasks of the mesh. `bodies`: room for what it fetches."""
    settings, table = mesh.settings, RoutingTable(mesh.identity.spiffe.trust_domain, mesh.denied)
    peers = Peers(mesh, settings.timeouts.connect)
    places = Bulkheads(settings.queue.bulkhead)
    traffic = Traffic(Reachability(peers.connects, mesh.spawn), Breakers(), places)
    admission = Admission(settings.queue, table, traffic, mesh.draining)
    acquaintance = Acquaintance(peers.connects, mesh.spawn)
    table.subscribe(peers.retain)
    table.subscribe(acquaintance.retain)
    table.subscribe(traffic.retain)
    table.subscribe(admission.refresh)
    mesh.spawn(admission.drain(), name="queue drain")
    observe(table.age, lambda: len(traffic.reachability.unreachable), lambda: traffic.breakers.open)
    _follow_router(mesh, table)
    return Pipeline(
        table,
        traffic,
        Dispatcher(peers, traffic, RetryBudget()),
        admission,
        _authenticator(mesh) if settings.needs_key else None,
        lifecycle=Lifecycle(table, peers),
        fetching=Fetching(settings.fetch_private, bodies),
        files=FileStore(mesh, mesh.control("registry"), settings.link_seconds),
        works=LongWork(Finder(mesh, "store")),
        limits=settings.timeouts,
        model_limits=limits_by_model(settings.timeouts, settings.models),
        commit_after=settings.commit_after,
        draining=mesh.draining,
        passthrough=settings.passthrough,
        has_met=acquaintance.has_met,
    )


def _follow_router(mesh: Mesh[GatewaySettings], table: RoutingTable) -> None:
    file = SnapshotFile(mesh.settings.home / "gateway" / "snapshot.pb")
    mesh.spawn(follow_snapshots(mesh.control("router"), table), name="router watch")
    mesh.spawn(start_from_saved(table, file), name="saved snapshot")
    mesh.spawn(keep_saved(table, file), name="snapshot keeper")


def _authenticator(mesh: Mesh[GatewaySettings]) -> Authenticator:
    keys = VaultKeys(mesh.control("vault"))
    authenticator = Authenticator(keys.verify)
    mesh.spawn(keys.follow(authenticator), name="key watch")
    return authenticator


def _advertise(mesh: Mesh[GatewaySettings], http: HttpServer) -> None:
    """Tells the registry where clients find the HTTP endpoint."""
    status = instance_pb2.Status()
    status.CopyFrom(mesh.status.get())
    status.endpoints["http"] = addresses.join(http.host, http.port)
    mesh.status.set(status)


async def _drain(mesh: Mesh[GatewaySettings], http: HttpServer) -> None:
    """Readiness turns at once; then there is a moment for balancers to see it before the door closes."""
    await mesh.draining.wait()
    await asyncio.sleep(mesh.settings.drain_settle)
    await http.close(mesh.settings.drain_grace)
