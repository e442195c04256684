"""Asks who calls before a request is read: what nobody has read cannot fill our memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import grpc
from google.protobuf.message import Message

from nexus_mesh.core import MeshError, Reason
from nexus_mesh.rpc.middleware import Authorize, Call, Guard, Identify, Middleware
from nexus_mesh.rpc.status import abort

__all__ = ["READS", "Doorkeeper", "Handler", "accounted"]

READS = 4
"""Requests of one identity that are read at the same time; they are small, so that its others hardly wait.

Of a program whose requests may be large: that have been read and are not accounted for yet, see `accounted`.
"""
CAREFUL = frozenset({"client"})
"""Who may send large requests and is no service of ours, that bounds itself what it has under way."""


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


class Slot:
    """One of the requests that an identity may have read at a time. `end` gives it back, once."""

    def __init__(self, reading: asyncio.Semaphore | None = None) -> None:
        self._reading = reading

    def end(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.release()


NO_SLOT = Slot()
SLOT: ContextVar[Slot] = ContextVar("slot", default=NO_SLOT)


def accounted() -> None:
    """The request being handled has been allowed for by a budget of the handler's own: its caller's next is read."""
    SLOT.get().end()


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
            request, slot = await self._request(method, context, large=large)
            try:
                return await handler.unary_unary(request, context)
            finally:
                slot.end()

        async def stream(_: Any, context: Any) -> AsyncIterator[Any]:
            request, slot = await self._request(method, context, large=large)
            answers = handler.unary_stream(request, context)
            del request
            try:
                async with contextlib.aclosing(answers) as messages:
                    async for message in messages:
                        yield message
            finally:
                slot.end()

        field, behaviour = (
            ("stream_stream", stream) if handler.response_streaming else ("stream_unary", unary)
        )
        kept = Handler(handler, field, behaviour)
        kept.request_streaming = True
        return kept

    async def _request(self, method: str, context: Any, *, large: bool) -> tuple[Any, Slot]:
        """The request, and what is to be ended with it.

        None for who is not let in: the handler itself refuses it before it looks, and reports it.
        """
        call = Call(method, context, self._guard)
        try:
            for check in self._checks:
                check.start(call)
        except MeshError:
            return None, NO_SLOT
        who, role = (str(call.caller.spiffe), call.caller.spiffe.role) if call.caller else ("", "")
        if large and role not in CAREFUL:
            return await _only(context), NO_SLOT
        reading = self._reading.get(who)
        if reading is None:
            reading = self._reading[who] = asyncio.Semaphore(READS)
        await reading.acquire()
        slot = Slot(reading)
        try:
            request = await _only(context)
        except BaseException:
            slot.end()
            raise
        if large:
            SLOT.set(slot)
        else:
            slot.end()
        return request, slot


async def _only(context: Any) -> Any:
    """The one message of a request."""
    try:
        message = await context.read()
    except Exception:
        message = grpc.aio.EOF
    if message is grpc.aio.EOF:
        await abort(context, MeshError(Reason.INVALID_REQUEST, "The request is not a message of its type."))
    return message
