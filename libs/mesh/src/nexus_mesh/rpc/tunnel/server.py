"""The server's end of tunnels: each call in a task of its own, through the same checks as any RPC."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from nexus.mesh.v1 import tunnel_pb2, tunnel_pb2_grpc

from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_mesh.rpc.status import to_status
from nexus_mesh.rpc.tunnel.context import TunnelContext
from nexus_mesh.rpc.tunnel.outbox import Outbox

__all__ = ["TunnelServicer"]

log = telemetry.logger("tunnel")


class TunnelServicer(tunnel_pb2_grpc.TunnelServiceServicer):
    """`handlers`: the wrapped handlers by path. `max_message`: bytes a message of the server may have."""

    def __init__(self, handlers: Mapping[str, Any], max_message: int) -> None:
        self._handlers = handlers
        self._max_message = max_message
        self._tunnels: set[_Tunnel] = set()
        self._draining = False

    async def Open(self, request_iterator: Any, context: Any) -> None:  # noqa: ARG002, N802 - the contract's signature
        """Serves one tunnel; reads and writes it by the context."""
        if self._draining:
            raise MeshError(Reason.DRAINING, "The service is shutting down.")
        tunnel = _Tunnel(self._handlers, context, self._max_message)
        self._tunnels.add(tunnel)
        try:
            await tunnel.run()
        finally:
            self._tunnels.discard(tunnel)

    def drain(self) -> None:
        """Takes no new tunnels and no new calls; those that run go on to their end."""
        self._draining = True
        for tunnel in self._tunnels:
            tunnel.drain()


class _Tunnel:
    """One open tunnel and its calls."""

    def __init__(self, handlers: Mapping[str, Any], context: Any, max_message: int) -> None:
        self._handlers = handlers
        self._context = context
        self._auth: Mapping[str, Any] = context.auth_context()
        self._longest = max_message - 1024
        self._outbox = Outbox(tunnel_pb2.OpenResponse)
        self._calls: dict[int, tuple[asyncio.Task[None], TunnelContext]] = {}
        self._draining = False

    async def run(self) -> None:
        """Until the caller ends it or it is drained."""
        both = [
            asyncio.create_task(self._read(), name="tunnel read"),
            asyncio.create_task(self._outbox.run(self._context.write), name="tunnel write"),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if both[0].done():
                both[0].result()
        finally:
            tasks = [*both, *(task for task, _ in self._calls.values())]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def drain(self) -> None:
        self._draining = True
        self._outbox.message(1).closing = True
        self._end_if_drained()

    def _end_if_drained(self) -> None:
        if self._draining and not self._calls:
            self._outbox.close()

    async def _read(self) -> None:
        while (message := await self._context.read()) is not grpc.aio.EOF:
            for frame in message.frames:
                self._take(frame)

    def _take(self, frame: tunnel_pb2.CallerFrame) -> None:
        if frame.HasField("start"):
            self._start(frame.call, frame.start)
            return
        task, context = self._calls.get(frame.call, (None, None))
        if task is None or context is None:
            return  # it has ended, and the news of that is on its way
        if frame.HasField("taken"):
            context.taken(frame.taken)
        else:
            context.forget()
            task.cancel()

    def _start(self, call: int, start: tunnel_pb2.Start) -> None:
        if call in self._calls:
            raise MeshError(Reason.INVALID_REQUEST, "The number of a call was used twice.")
        handler = self._handlers.get(start.method)
        context = TunnelContext(call, start, self._outbox, self._auth, partial(self._serialised, handler))
        self._calls[call] = (asyncio.create_task(self._serve(call, start, handler, context)), context)

    async def _serve(self, call: int, start: tunnel_pb2.Start, handler: Any, context: TunnelContext) -> None:
        try:
            with suppress(grpc.aio.AbortError):
                await self._answer(start, handler, context)
        except MeshError as error:
            context.end(_status(error))
        except asyncio.CancelledError:
            context.end(_status(MeshError(Reason.BACKEND_LOST, "The service gave the call up.")))
            raise
        except Exception:
            log.exception("call in a tunnel failed", method=start.method)
            context.end(_status(MeshError(Reason.INTERNAL, "An internal fault happened.")))
        finally:
            del self._calls[call]
            self._end_if_drained()

    async def _answer(self, start: tunnel_pb2.Start, handler: Any, context: TunnelContext) -> None:
        if handler is None or handler.request_streaming:
            raise MeshError(Reason.MESH_POLICY, f"There is no {start.method[:128]!r} for tunnels here.")
        if self._draining:
            raise MeshError(Reason.DRAINING, "The service is shutting down.")
        try:
            request = handler.request_deserializer(start.request)
        except DecodeError:
            raise MeshError(Reason.INVALID_REQUEST, "The request is not a message of its type.") from None
        if not handler.response_streaming:
            context.answer(await handler.unary_unary(request, context))
            return
        async with aclosing(handler.unary_stream(request, context)) as responses:
            async for response in responses:
                await context.write(response)
        context.end()

    def _serialised(self, handler: Any, response: Any) -> bytes:
        message: bytes = handler.response_serializer(response)
        if len(message) > self._longest:
            raise MeshError(Reason.RESPONSE_TOO_LARGE, "The answer is larger than a hop of the mesh carries.")
        return message


def _status(error: MeshError) -> bytes:
    _, _, ((_, status),) = to_status(error)
    return status
