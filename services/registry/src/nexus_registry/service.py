"""RegistryService over gRPC: check, call the directory, convert."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import grpc
from google.protobuf.duration_pb2 import Duration
from nexus.registry.v1 import registry_pb2 as pb
from nexus.registry.v1.instance_pb2 import Instance, Status
from nexus.registry.v1.registry_pb2_grpc import RegistryServiceServicer
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.identity import caller
from nexus_mesh.rows import fitted

from nexus_registry.claims import ClaimsGuard
from nexus_registry.config import RegistrySettings
from nexus_registry.directory import Directory
from nexus_registry.instances import INSTANCES, message
from nexus_registry.limits import check_port, check_version
from nexus_registry.pages import page
from nexus_registry.peer import join_address, peer_host
from nexus_registry.store import Store
from nexus_registry.table import Table, watch

SILENT_INTERVALS = 3


class RegistryServicer(RegistryServiceServicer):
    """`draining` is set when this process shuts down: streams that end then tell nothing about callers."""

    def __init__(
        self,
        directory: Directory,
        table: Table[Instance],
        store: Store[Instance],
        settings: RegistrySettings,
        draining: asyncio.Event,
    ) -> None:
        self._directory = directory
        self._table = table
        self._store = store
        self._settings = settings
        self._draining = draining
        self._claims = ClaimsGuard()

    async def Register(
        self, request: pb.RegisterRequest, context: grpc.aio.ServicerContext
    ) -> pb.RegisterResponse:
        check_port(request.port)
        check_version(request.version)
        spiffe = caller().spiffe
        address = join_address(peer_host(context.peer()), request.port, self._settings.advertise_host)
        row = Instance(
            id=spiffe.instance_id, role=spiffe.role, node=spiffe.node, zone=spiffe.zone, name=spiffe.name
        )
        row.address, row.server_name, row.version = address, spiffe.server_name, request.version
        row.register_time.GetCurrentTime()
        if request.HasField("clock_time"):
            row.clock_time.CopyFrom(request.clock_time)
        row.status.CopyFrom(self._held(request.status))
        interval = Duration()
        interval.FromNanoseconds(int(self._settings.keep_alive_interval * 1e9))
        return pb.RegisterResponse(instance=self._directory.register(row), keep_alive_interval=interval)

    async def KeepAlive(
        self, request_iterator: AsyncIterator[pb.KeepAliveRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.KeepAliveResponse]:
        instance_id = caller().spiffe.instance_id
        beat = self._directory.attach(instance_id)
        try:
            async for request in self._heard(request_iterator):
                status = self._held(request.status) if request.HasField("status") else None
                yield pb.KeepAliveResponse(revision=self._directory.beat(instance_id, beat, status))
        finally:
            if not self._draining.is_set():
                self._directory.detach(instance_id, beat)

    def _held(self, status: Status) -> Status:
        """What of a status may go into the table: parts that fit, and that the certificate of the caller covers."""
        held = fitted(status)
        self._claims.enforce(caller(), held)
        return held

    async def Watch(
        self, request: pb.WatchRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchResponse]:
        await self._loaded()
        steps = watch(self._table, request.epoch, request.revision, self._store.stale_seconds)
        async for step in steps:
            yield message(self._table.epoch, step)

    async def List(self, request: pb.ListRequest, context: grpc.aio.ServicerContext) -> pb.ListResponse:
        await self._loaded()
        wanted = (row for row in self._table.rows() if request.role in ("", row.role))
        rows, token = page(wanted, INSTANCES.id_of, request.role, request.page_size, request.page_token)
        return pb.ListResponse(instances=rows, next_page_token=token)

    async def Deregister(
        self, request: pb.DeregisterRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeregisterResponse:
        self._directory.deregister(caller().spiffe.instance_id)
        return pb.DeregisterResponse()

    async def _heard(
        self, requests: AsyncIterator[pb.KeepAliveRequest]
    ) -> AsyncIterator[pb.KeepAliveRequest]:
        """The beats. Raises TIMEOUT when none came for too long."""
        limit = SILENT_INTERVALS * self._settings.keep_alive_interval
        beats = aiter(requests)
        while True:
            try:
                async with asyncio.timeout(limit):
                    request = await anext(beats, None)
            except TimeoutError:
                raise MeshError(
                    Reason.TIMEOUT, f"Nothing was heard for {limit:g} s: open a new stream."
                ) from None
            if request is None:
                return
            yield request

    async def _loaded(self) -> None:
        """Just after a start, wait for the rows in etcd, but not for long: it may be away."""
        if not self._store.loaded.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.load_timeout):
                    await self._store.loaded.wait()
