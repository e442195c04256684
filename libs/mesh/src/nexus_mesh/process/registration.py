"""Keeps this process in the registry: registers, holds the keep-alive stream, pushes status, heals by itself."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TypeAlias

import grpc
from nexus.registry.v1 import instance_pb2, registry_pb2

from nexus_mesh.core import Backoff, MeshError, Reason, telemetry
from nexus_mesh.rpc import Duplex, Link, Method, Peer, from_rpc_error

__all__ = ["Registration", "StatusBoard"]

SERVICE = "nexus.registry.v1.RegistryService"
REGISTER = Method(SERVICE, "Register", registry_pb2.RegisterRequest, registry_pb2.RegisterResponse)
KEEP_ALIVE = Method(SERVICE, "KeepAlive", registry_pb2.KeepAliveRequest, registry_pb2.KeepAliveResponse)
KeepAlive: TypeAlias = Duplex[registry_pb2.KeepAliveRequest, registry_pb2.KeepAliveResponse]
DEREGISTER = Method(SERVICE, "Deregister", registry_pb2.DeregisterRequest, registry_pb2.DeregisterResponse)

CALL_TIMEOUT = 3.0
COALESCE = 0.05

log = telemetry.logger("registration")


class StatusBoard:
    """What this process says of itself. Setting it wakes whoever passes it on."""

    def __init__(self) -> None:
        self._status = instance_pb2.Status(state=instance_pb2.STATE_ACTIVE)
        self.version = 0
        self._changed = asyncio.Event()

    def get(self) -> instance_pb2.Status:
        return self._status

    def set(self, status: instance_pb2.Status) -> None:
        """Replaces the status; the same again is no change."""
        if status != self._status:
            self._status = status
            self.version += 1
            self._changed.set()
            self._changed = asyncio.Event()

    async def changed(self, since: int, timeout: float) -> bool:
        """Waits until the version differs from `since`, at most `timeout` seconds; whether it does."""
        if self.version == since:
            changed = self._changed
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await changed.wait()
        return self.version != since


class Registration:
    """The registration of one process at the registry behind a peer."""

    def __init__(self, registry: Peer, board: StatusBoard, *, port: int, version: str) -> None:
        self._registry = registry
        self._board = board
        self._port = port
        self._version = version
        self.connected = False

    async def run(self) -> None:
        """Never ends; every loss is met by registering again."""
        backoff = Backoff(limit=1.0)
        async with contextlib.AsyncExitStack() as open_streams:
            while True:
                try:
                    await self._hold(open_streams, backoff)
                except (MeshError, TimeoutError) as error:
                    if self.connected:
                        log.warning("registry lost", detail=str(error))
                    self.connected = False
                    await open_streams.aclose()
                    await backoff.wait()

    async def _hold(self, open_streams: contextlib.AsyncExitStack, backoff: Backoff) -> None:
        """Beats on one link until it is retired. The stream before is closed only once the new one is acknowledged."""
        interval = await self._register()
        older = open_streams.pop_all()
        async with older:
            call, link = await open_streams.enter_async_context(self._registry.bidi(KEEP_ALIVE))
            sent = await self._beat(call, -1, interval)
        backoff.reset()
        if not self.connected:
            self.connected = True
            log.info("registered", registry=self._registry.address)
        while not await self._pause(link, sent, interval):
            sent = await self._beat(call, sent, interval)

    async def leave(self) -> None:
        """Takes this process out of the registry at once; a dead registry is no reason to wait."""
        with contextlib.suppress(MeshError):
            await self._registry.unary(DEREGISTER, registry_pb2.DeregisterRequest(), timeout=1.0)

    async def _register(self) -> float:
        request = registry_pb2.RegisterRequest(
            port=self._port, version=self._version, status=self._board.get()
        )
        request.clock_time.GetCurrentTime()
        response = await self._registry.unary(REGISTER, request, timeout=CALL_TIMEOUT)
        return max(0.2, response.keep_alive_interval.ToNanoseconds() / 1e9 or 3.0)

    async def _beat(self, call: KeepAlive, sent: int, interval: float) -> int:
        """One beat, with the status if it differs from what was sent; the version the registry now has."""
        version, request = self._board.version, registry_pb2.KeepAliveRequest()
        if version != sent:
            request.status.CopyFrom(self._board.get())
        async with asyncio.timeout(CALL_TIMEOUT + interval):
            await _exchange(call, request)
        return version

    async def _pause(self, link: Link, sent: int, interval: float) -> bool:
        """Waits for a change or the next beat; whether the link was retired meanwhile."""
        retired = asyncio.ensure_future(link.retired.wait())
        changed = asyncio.ensure_future(self._board.changed(sent, interval))
        try:
            await asyncio.wait({retired, changed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            retired.cancel()
            changed.cancel()
        if not link.retired.is_set():
            await asyncio.sleep(COALESCE)
        return link.retired.is_set()


async def _exchange(call: KeepAlive, request: registry_pb2.KeepAliveRequest) -> None:
    try:
        await call.write(request)
        reply = await call.read()
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None
    except asyncio.InvalidStateError:  # the library's word for writing to a call that has ended
        reply = None
    if not isinstance(reply, registry_pb2.KeepAliveResponse):
        raise MeshError(Reason.BACKEND_LOST, "The registry closed the keep-alive stream.")
