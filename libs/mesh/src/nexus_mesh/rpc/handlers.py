"""Folds the middleware list over every handler once, when a server is built."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import grpc

from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_mesh.rpc.doorkeeper import Doorkeeper, Handler, abort
from nexus_mesh.rpc.middleware import GIVEN_UP, Call, Guard, Middleware
from nexus_mesh.rpc.policy import ENDLESS

__all__ = ["HandlerTable", "OpenStreams"]

LARGE = frozenset({"nexus.inference.v1.InferenceService"})
"""Services whose requests may be many megabytes; who may call them bounds what it has under way itself."""
SENDING_GRACE = 1.0
"""Seconds a message that is being sent may take before its stream is ended anyway."""

log = telemetry.logger("server")


class OpenStreams:
    """Streams being served, so that they can be ended from outside: at drain, or when an identity is withdrawn."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[Any], Call] = {}
        self._verdicts: dict[asyncio.Task[Any], MeshError] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def enter(self, call: Call) -> asyncio.Task[Any]:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - handlers always run in a task
        self._tasks[task] = call
        return task

    def leave(self, task: asyncio.Task[Any]) -> MeshError | None:
        """Forgets a stream; the error it was ended with from outside, if it was."""
        self._tasks.pop(task, None)
        return self._verdicts.pop(task, None)

    def check(self, task: asyncio.Task[Any]) -> None:
        """CancelledError when the stream has been ended from outside."""
        if task in self._verdicts:
            raise asyncio.CancelledError

    def end(self, which: Callable[[Call], bool], error: MeshError) -> int:
        """Ends every stream the test picks; how many."""
        chosen = [task for task, call in self._tasks.items() if which(call)]
        for task in chosen:
            closing = asyncio.ensure_future(self._close(task, self._tasks[task], error))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        return len(chosen)

    async def _close(self, task: asyncio.Task[Any], call: Call, error: MeshError) -> None:
        """Cancels a handler and sees to it that its caller is told.

        A handler cancelled while the library sends a message for it cannot speak any more.
        """
        self._verdicts[task] = error
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

    def end_endless(self) -> int:
        """Ends the streams that would never end by themselves."""
        error = MeshError(Reason.DRAINING, "The service is shutting down.")
        return self.end(lambda call: call.method in ENDLESS, error)


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
        self.handlers: dict[str, grpc.RpcMethodHandler] = {}
        """The wrapped handlers by path, for calls that come through a tunnel."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler]
    ) -> None:
        wrapped = {name: self._wrap(f"/{service}/{name}", handler) for name, handler in handlers.items()}
        self.handlers.update({f"/{service}/{name}": handler for name, handler in wrapped.items()})
        served = {
            name: self._doorkeeper.keep(handler, f"/{service}/{name}", large=service in LARGE)
            for name, handler in wrapped.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, served),))
        self.services.append(service)

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Generated code offers the same handlers a second time here; once is enough."""

    def _wrap(self, method: str, handler: Any) -> Any:
        if handler.response_streaming:
            inner = handler.stream_stream if handler.request_streaming else handler.unary_stream
            field = "stream_stream" if handler.request_streaming else "unary_stream"
            wrapped = self._stream(method, _served(method, inner))
        else:
            inner = handler.stream_unary if handler.request_streaming else handler.unary_unary
            field = "stream_unary" if handler.request_streaming else "unary_unary"
            wrapped = self._unary(method, _served(method, inner))
        return Handler(handler, field, wrapped)

    def _unary(self, method: str, inner: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def handle(request: Any, context: grpc.aio.ServicerContext) -> Any:
            call = Call(method, context, self._guard)
            error: MeshError | None = None
            begun = 0
            try:
                for part in self._chain:
                    begun += 1
                    part.start(call)
                answer = inner(request, context)
                del request
                return await answer
            except asyncio.CancelledError:
                error = GIVEN_UP
                raise
            except Exception as failure:
                error = _as_mesh_error(failure, method)
                await abort(context, error)
            finally:
                for part in reversed(self._chain[:begun]):
                    part.end(call, error)
                error = None  # its traceback holds this frame, and that what was asked

        return handle

    def _stream(self, method: str, inner: Callable[..., Any]) -> Callable[..., AsyncIterator[Any]]:
        async def handle(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            call = Call(method, context, self._guard)
            task = self._streams.enter(call)
            error: MeshError | None = None
            begun = 0
            try:
                for part in self._chain:
                    begun += 1
                    part.start(call)
                result = inner(request, context)
                del request
                if hasattr(result, "__aiter__"):
                    async with contextlib.aclosing(result):
                        async for message in result:
                            call.sending = True
                            yield message
                            call.sending = False
                            self._streams.check(task)
                else:
                    await result
            except asyncio.CancelledError:
                error = self._streams.leave(task)
                if error is None:
                    error = GIVEN_UP
                    raise
                task.uncancel()
                await abort(context, error)
            except Exception as failure:
                error = _as_mesh_error(failure, method)
                await abort(context, error)
            finally:
                self._streams.leave(task)
                for part in reversed(self._chain[:begun]):
                    part.end(call, error)
                error = None  # its traceback holds this frame, and that what was asked

        return handle


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


def _as_mesh_error(failure: Exception, method: str) -> MeshError:
    if isinstance(failure, MeshError):
        return failure
    if isinstance(failure, grpc.aio.AbortError):
        raise failure  # the library's own servicers (health, reflection) answer this way
    incident = secrets.token_hex(6)
    log.error("handler failed", method=method, incident=incident, exc_info=failure)
    return MeshError(
        Reason.INTERNAL,
        f"An internal fault happened; it was logged as {incident}.",
        metadata={"incident": incident},
    )
