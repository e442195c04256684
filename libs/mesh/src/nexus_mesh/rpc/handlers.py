"""The handlers of a server as it is built, each wrapped once, and the streams that they serve."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import grpc

from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_mesh.rpc.doorkeeper import Doorkeeper, Handler
from nexus_mesh.rpc.middleware import Call, Guard, Middleware, around_stream, around_unary
from nexus_mesh.rpc.policy import ENDLESS
from nexus_mesh.rpc.status import abort

__all__ = ["HandlerTable", "OpenStreams"]

LARGE = frozenset({"nexus.inference.v1.InferenceService"})
"""Services whose requests may be many megabytes; who may call them bounds what it has under way itself."""
SENDING_GRACE = 1.0
"""Seconds a message that is being sent may take before its stream is ended anyway."""

log = telemetry.logger("server")


class OpenStreams:
    """Streams being served, so that they can be ended from outside: at drain, or when an identity is withdrawn."""

    def __init__(self) -> None:
        self.running: set[Call] = set()
        self._closing: set[asyncio.Task[None]] = set()

    def end(self, which: Callable[[Call], bool], error: MeshError) -> int:
        """Ends every stream the test picks; how many."""
        chosen = [call for call in self.running if which(call)]
        for call in chosen:
            closing = asyncio.ensure_future(self._close(call, error))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        return len(chosen)

    def end_endless(self) -> int:
        """Ends the streams that would never end by themselves."""
        error = MeshError(Reason.DRAINING, "The service is shutting down.")
        return self.end(lambda call: call.method in ENDLESS, error)

    async def _close(self, call: Call, error: MeshError) -> None:
        """Cancels a handler and sees to it that its caller is told.

        A handler cancelled while the library sends a message for it cannot speak any more.
        """
        task = call.task
        assert task is not None  # noqa: S101 - a stream has one from its beginning
        call.verdict = error
        if call.sending:
            # A message cut off in the middle of its sending leaves no way to send the error after it.
            await asyncio.wait({task}, timeout=SENDING_GRACE)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if not call.context.done():
            try:
                await abort(call.context, error)
            except (grpc.aio.AbortError, grpc.aio.UsageError):
                pass
            except grpc.aio.InternalError:
                log.warning("caller does not read, so it could not be told", method=call.method)


class HandlerTable:
    """Stands in for the server while generated code adds its servicers, and hands on what it got, wrapped."""

    def __init__(
        self, server: grpc.aio.Server, chain: Sequence[Middleware], streams: OpenStreams, guard: Guard
    ) -> None:
        self._server = server
        self._chain = chain
        self._streams = streams
        self._guard = guard
        self._doorkeeper = Doorkeeper(chain, guard)
        self.services: list[str] = []
        self.handlers: dict[str, Handler] = {}
        """The wrapped handlers by path, for calls that come through a tunnel."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        wrapped = {name: self._wrap(f"/{service}/{name}", handler) for name, handler in handlers.items()}
        self.handlers.update({f"/{service}/{name}": handler for name, handler in wrapped.items()})
        served: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            name: self._doorkeeper.keep(handler, f"/{service}/{name}", large=service in LARGE)
            for name, handler in wrapped.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, served),))
        self.services.append(service)

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Generated code offers the same handlers a second time here; once is enough."""

    def _wrap(self, method: str, handler: Any) -> Handler:
        if handler.response_streaming:
            inner = handler.stream_stream if handler.request_streaming else handler.unary_stream
            field = "stream_stream" if handler.request_streaming else "unary_stream"
            wrapped = around_stream(
                self._chain, self._guard, self._streams.running, method, _served(method, inner)
            )
        else:
            inner = handler.stream_unary if handler.request_streaming else handler.unary_unary
            field = "stream_unary" if handler.request_streaming else "unary_unary"
            wrapped = around_unary(self._chain, self._guard, method, _served(method, inner))
        return Handler(handler, field, wrapped)


def _served(method: str, inner: Callable[..., Any]) -> Callable[..., Any]:
    """The behaviour, or an honest refusal where a servicer has only what generated code gave it."""
    if not inner.__module__.endswith("_pb2_grpc"):
        return inner

    async def absent(*_: object) -> NoReturn:
        raise MeshError(
            Reason.CAPABILITY_MISSING,
            f"This service does not offer {method.rpartition('/')[2]} yet.",
            metadata={"method": method},
        )

    return absent
