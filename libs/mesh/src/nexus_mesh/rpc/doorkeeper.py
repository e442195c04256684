"""Asks who calls before a request is read: what nobody has read cannot fill our memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakValueDictionary

import grpc
from google.protobuf.message import Message

from nexus_mesh.core import MeshError, Reason
from nexus_mesh.rpc.middleware import Authorize, Call, Context, Guard, Identify, Middleware
from nexus_mesh.rpc.status import to_status

__all__ = ["READS", "Doorkeeper", "Handler", "abort"]

READS = 4
"""Requests of one identity that are read at the same time; they are small, so that its others hardly wait."""


if TYPE_CHECKING:
    _Base = grpc.RpcMethodHandler[Message, Message]
else:
    _Base = grpc.RpcMethodHandler


class Handler(_Base):
    """A handler like the original with one behaviour replaced."""

    # The stubs know the behaviours of blocking servers only.
    request_deserializer: Any
    response_serializer: Any
    unary_unary: Any
    unary_stream: Any
    stream_unary: Any
    stream_stream: Any

    def __init__(
        self, original: grpc.RpcMethodHandler[Any, Any], field: str, behaviour: Callable[..., object]
    ) -> None:
        self.request_streaming = original.request_streaming
        self.response_streaming = original.response_streaming
        self.request_deserializer = original.request_deserializer
        self.response_serializer = original.response_serializer
        self.unary_unary = self.unary_stream = self.stream_unary = self.stream_stream = None
        setattr(self, field, behaviour)


class Doorkeeper:
    """Stands before handlers that take one request, of a server whose `chain` asks for identities."""

    def __init__(self, chain: Sequence[Middleware], guard: Guard) -> None:
        self._checks = [part for part in chain if isinstance(part, Identify | Authorize)]
        self._guard = guard
        self._reading: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def keep(self, handler: Handler, method: str, *, large: bool) -> Handler:
        """The same for a library that reads a request before it asks anybody, and keeps it until the call's end: as
        the first of a stream it is read when we say so, and let go. On the wire the two are alike.

        `large`: requests of many megabytes, of which any number is read at once.
        """
        if handler.request_streaming or not (self._checks or large):
            return handler

        async def unary(_: Any, context: Any) -> Any:
            return await handler.unary_unary(await self._request(method, context, large=large), context)

        async def stream(_: Any, context: Any) -> AsyncIterator[Any]:
            request = await self._request(method, context, large=large)
            answers = handler.unary_stream(request, context)
            del request
            async with contextlib.aclosing(answers) as messages:
                async for message in messages:
                    yield message

        field, behaviour = (
            ("stream_stream", stream) if handler.response_streaming else ("stream_unary", unary)
        )
        kept = Handler(handler, field, behaviour)
        kept.request_streaming = True
        return kept

    async def _request(self, method: str, context: Any, *, large: bool) -> Any:
        """The request; None for who is not let in: the handler itself refuses it before it looks, and reports it."""
        try:
            who = self._let_in(Call(method, context, self._guard))
        except MeshError:
            return None
        if large:
            return await _only(context)
        reading = self._reading.get(who)
        if reading is None:
            reading = self._reading[who] = asyncio.Semaphore(READS)
        async with reading:
            return await _only(context)

    def _let_in(self, call: Call) -> str:
        for check in self._checks:
            check.start(call)
        return str(call.caller.spiffe) if call.caller else ""


async def _only(context: Any) -> Any:
    """The one message of a request."""
    try:
        message = await context.read()
    except Exception:
        message = grpc.aio.EOF
    if message is grpc.aio.EOF:
        await abort(context, MeshError(Reason.INVALID_REQUEST, "The request is not a message of its type."))
    return message


async def abort(context: Context, error: MeshError) -> NoReturn:
    """Ends a call with an error."""
    code, message, trailing = to_status(error)
    await context.abort(code, message, trailing)
