"""The server's end of tunnels: each call in a task of its own, through the same checks as any RPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import NoReturn

import grpc
from google.protobuf.message import DecodeError, Message
from nexus.mesh.v1 import tunnel_pb2, tunnel_pb2_grpc

from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_mesh.rpc.doorkeeper import Handler
from nexus_mesh.rpc.status import DETAILS_KEY, bare, to_status
from nexus_mesh.rpc.tunnel.client import WINDOW, Outbox

__all__ = ["TunnelServicer"]

Context = grpc.aio.ServicerContext[tunnel_pb2.OpenRequest, tunnel_pb2.OpenResponse]

log = telemetry.logger("tunnel")


class TunnelServicer(tunnel_pb2_grpc.TunnelServiceServicer):
    """`handlers`: the wrapped handlers by path. `max_message`: bytes a message of the server may have."""

    def __init__(self, handlers: Mapping[str, Handler], max_message: int) -> None:
        self._handlers = handlers
        self._max_message = max_message
        self._tunnels: set[_Tunnel] = set()
        self._draining = False

    async def Open(self, request_iterator: object, context: Context) -> None:  # noqa: ARG002, N802 - the contract's
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

    def __init__(self, handlers: Mapping[str, Handler], context: Context, max_message: int) -> None:
        self._handlers = handlers
        self._context = context
        self._auth = context.auth_context()
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
        context = TunnelContext(
            call,
            start,
            self._outbox,
            self._auth,
            partial(self._serialised, handler.response_serializer if handler else Message.SerializeToString),
        )
        self._calls[call] = (asyncio.create_task(self._serve(call, start, handler, context)), context)

    async def _serve(
        self, call: int, start: tunnel_pb2.Start, handler: Handler | None, context: TunnelContext
    ) -> None:
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

    async def _answer(self, start: tunnel_pb2.Start, handler: Handler | None, context: TunnelContext) -> None:
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

    def _serialised(self, serialise: Callable[[Message], bytes], response: Message) -> bytes:
        message = serialise(response)
        if len(message) > self._longest:
            raise MeshError(Reason.RESPONSE_TOO_LARGE, "The answer is larger than a hop of the mesh carries.")
        return message


class TunnelContext:
    """What a handler sees of a call: the part of a ServicerContext that ours use. Nothing is sent after its end."""

    __slots__ = (
        "_auth",
        "_begun",
        "_call",
        "_credit",
        "_due",
        "_metadata",
        "_more",
        "_outbox",
        "_over",
        "_serialise",
    )

    def __init__(
        self,
        call: int,
        start: tunnel_pb2.Start,
        outbox: Outbox[tunnel_pb2.OpenResponse],
        auth: Mapping[str, Iterable[bytes]],
        serialise: Callable[[Message], bytes],
    ) -> None:
        self._call = call
        self._outbox = outbox
        self._auth = auth
        self._serialise = serialise
        self._metadata = tuple(start.metadata.items())
        timeout = start.timeout
        self._due = (
            time.monotonic() + timeout.seconds + timeout.nanos / 1e9 if start.HasField("timeout") else None
        )
        self._credit = WINDOW
        self._more: asyncio.Event | None = None
        self._begun = False
        self._over = False

    # What middleware and handlers ask

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return self._metadata

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return self._auth

    def time_remaining(self) -> float | None:
        return None if self._due is None else max(0.0, self._due - time.monotonic())

    def done(self) -> bool:
        return self._over

    async def write(self, response: Message) -> None:
        """Sends one message of a stream, once the caller has room for it."""
        message = self._serialise(response)
        while not self._credit:
            self._more = self._more or asyncio.Event()
            self._more.clear()
            await self._more.wait()
        self._credit -= 1
        if not self._over:
            filling = self._outbox.message(len(message), urgent=not self._begun)
            filling.frames.add(call=self._call, message=message)
            self._begun = True

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: Sequence[tuple[str, str | bytes]] = (),
    ) -> NoReturn:
        """Ends the call with a status, as an RPC of its own would end."""
        whole = dict(trailing_metadata).get(DETAILS_KEY)
        self.end(whole if isinstance(whole, bytes) else bare(code, details))
        raise grpc.aio.AbortError

    # What the tunnel does

    def taken(self, messages: int) -> None:
        """The caller can take as many more."""
        self._credit += messages
        if self._more is not None:
            self._more.set()

    def answer(self, response: Message) -> None:
        """Ends the call well, with its one response."""
        self.end(message=self._serialise(response))

    def end(self, status: bytes = b"", message: bytes | None = None) -> None:
        """Ends the call: a serialised google.rpc.Status, or nothing when it went well."""
        if not self._over:
            self._over = True
            size = len(status) if message is None else len(message)
            self._outbox.message(size).frames.add(call=self._call, message=message, end=status)

    def forget(self) -> None:
        """The caller has lost interest: nothing more is sent."""
        self._over = True


def _status(error: MeshError) -> bytes:
    _, _, ((_, status),) = to_status(error)
    return status
