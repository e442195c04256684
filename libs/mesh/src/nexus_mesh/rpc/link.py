"""The connections to one peer under one certificate, and the calls on them as callers see them.

A link counts its calls, so as to be retired without cutting any. A server stream may be an RPC of its own, or a call in
the link's tunnel.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any, Generic, Protocol, cast

import grpc
from google.protobuf.message import Message

from nexus_mesh.core import MeshError, Reason, give_small_blocks_back
from nexus_mesh.identity import Identity
from nexus_mesh.rpc.channels import (
    MAX_MESSAGE,
    Duplex,
    Metadata,
    Method,
    Options,
    Req,
    Res,
    Res_co,
    channel,
    merged,
)
from nexus_mesh.rpc.status import from_rpc_error
from nexus_mesh.rpc.tunnel.client import OPEN, Tunnel, TunnelCall

__all__ = ["Link", "RpcStream", "StreamCall", "TunnelStream", "UploadStream", "sent"]

OPTIONS: Options = (
    # A cable that is pulled says nothing: after so long a silence, and as long again without an answer, it is cut.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Without this a frozen peer is noticed after a minute only, whatever the two above say.
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    # A process that is restarted is back within a second or two; to look for it costs next to nothing.
    ("grpc.max_reconnect_backoff_ms", 500),
    # Channels of different certificates must never share a connection.
    ("grpc.use_local_subchannel_pool", 1),
)


class Link:
    """A channel, another one for large requests, and the number of calls on them."""

    def __init__(self, address: str, server_name: str, identity: Identity) -> None:
        self._open = partial(
            channel,
            address,
            identity.channel_credentials(),
            merged(OPTIONS, [("grpc.ssl_target_name_override", server_name)]),
        )
        self.channel = self._open()
        self._uploads: grpc.aio.Channel | None = None
        self.uploading = asyncio.Lock()
        """Held while a large request is sent."""
        self.retired = asyncio.Event()
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._unary: dict[str, Any] = {}
        self._stream: dict[str, Any] = {}
        self._tunnel: Tunnel | None = None

    def enter(self) -> None:
        self._active += 1
        self._idle.clear()

    def leave(self) -> None:
        self._active -= 1
        if not self._active:
            self._idle.set()

    def unary(self, method: Method[Req, Res]) -> grpc.aio.UnaryUnaryMultiCallable[Req, Res]:
        """The cached callable of a unary method."""
        found = self._unary.get(method.path)
        if found is None:
            found = self._unary[method.path] = self.channel.unary_unary(
                method.path, method.request.SerializeToString, method.response.FromString
            )
        return found

    def stream(self, method: Method[Req, Res]) -> grpc.aio.UnaryStreamMultiCallable[Req, Res]:
        """The cached callable of a server-streaming method."""
        found = self._stream.get(method.path)
        if found is None:
            found = self._stream[method.path] = self.channel.unary_stream(
                method.path, method.request.SerializeToString, method.response.FromString
            )
        return found

    def upload(self, method: Method[Message, Res]) -> grpc.aio.StreamUnaryMultiCallable[bytes, Res]:
        """A callable of a unary method that is given its request, serialised, after the call has begun."""
        return self._for_uploads().stream_unary(method.path, None, method.response.FromString)

    def upload_stream(self, method: Method[Message, Res]) -> grpc.aio.StreamStreamMultiCallable[bytes, Res]:
        """The same for a server-streaming method."""
        return self._for_uploads().stream_stream(method.path, None, method.response.FromString)

    def bidi(self, method: Method[Req, Res]) -> Duplex[Req, Res]:
        """Opens a two-way stream."""
        call = self.channel.stream_stream(
            method.path, method.request.SerializeToString, method.response.FromString
        )
        return cast(Duplex[Req, Res], call())  # the stubs take a message for any object, because of EOF

    def tunnel(self) -> Tunnel:
        """A tunnel that takes new calls. One that does not any more lives on until its calls have ended."""
        if self._tunnel is None or self._tunnel.closing:
            self._tunnel = Tunnel(self.bidi(OPEN))
        return self._tunnel

    async def retire(self, grace: float) -> None:
        """Waits until the calls on it have ended, at most `grace` seconds, then closes."""
        self.retired.set()
        try:
            async with asyncio.timeout(grace):
                await self._idle.wait()
        except TimeoutError:
            pass
        finally:
            if self._tunnel is not None:
                await self._tunnel.close()
            await self.channel.close()
            if self._uploads is not None:
                await self._uploads.close()

    def _for_uploads(self) -> grpc.aio.Channel:
        """A connection of their own: on one that is shared, all others wait while a large request passes."""
        if self._uploads is None:
            self._uploads = self._open()
        return self._uploads


class _Receiving(Protocol[Res_co]):
    def __aiter__(self) -> AsyncIterator[Res_co]: ...

    def cancel(self) -> bool: ...


class StreamCall(ABC, Generic[Res]):
    """`async with` opens it; leaving the block cancels what still runs; iteration raises MeshError."""

    def __init__(
        self, link: Link, method: Method[Message, Res], timeout: float | None, metadata: Metadata
    ) -> None:
        self._link = link
        self._method = method
        self._timeout = timeout
        self._metadata = metadata

    @abstractmethod
    async def __aenter__(self) -> StreamCall[Res]: ...

    @abstractmethod
    async def __aexit__(self, *_: object) -> None: ...

    @abstractmethod
    def cancel(self) -> None:
        """Gives the call up; whoever waits for its next message is told."""

    @abstractmethod
    def __aiter__(self) -> AsyncGenerator[Res, None]: ...


class _OwnRpc(StreamCall[Res]):
    """A stream with an RPC of its own."""

    _call: _Receiving[Res]

    async def __aexit__(self, *_: object) -> None:
        self._call.cancel()
        self._link.leave()

    def cancel(self) -> None:
        self._call.cancel()

    async def __aiter__(self) -> AsyncGenerator[Res, None]:
        try:
            async for message in self._call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        except asyncio.CancelledError:
            # The library raises this for a call we cancelled ourselves too; only a cancelled task may pass it on.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise MeshError(Reason.BACKEND_LOST, "The call was cancelled.") from None


class RpcStream(_OwnRpc[Res]):
    """The answer to a request that is a message."""

    def __init__(
        self, link: Link, method: Method[Req, Res], request: Req, timeout: float | None, metadata: Metadata
    ) -> None:
        super().__init__(link, method, timeout, metadata)
        self._open = partial(link.stream(method), request)

    async def __aenter__(self) -> RpcStream[Res]:
        self._link.enter()
        self._call = self._open(timeout=self._timeout, metadata=self._metadata)
        return self


class UploadStream(_OwnRpc[Res]):
    """The same of a large request, which is serialised and let go of once it has been sent."""

    def __init__(
        self,
        link: Link,
        method: Method[Message, Res],
        request: bytes,
        timeout: float | None,
        metadata: Metadata,
    ) -> None:
        super().__init__(link, method, timeout, metadata)
        self._message = [request]

    async def __aenter__(self) -> UploadStream[Res]:
        self._link.enter()
        call = self._link.upload_stream(self._method)(timeout=self._timeout, metadata=self._metadata)
        self._call = call
        self._sending = asyncio.ensure_future(_send(call, self._message, self._link.uploading))
        self._sending.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sending.cancel()
        await super().__aexit__()


class TunnelStream(StreamCall[Res]):
    """A stream in the tunnel of its link. `request` is serialised."""

    def __init__(
        self,
        link: Link,
        method: Method[Message, Res],
        request: bytes,
        timeout: float | None,
        metadata: Metadata,
    ) -> None:
        super().__init__(link, method, timeout, metadata)
        self._request = request
        self._call: TunnelCall | None = None

    async def __aenter__(self) -> TunnelStream[Res]:
        self._link.enter()
        self._call = self._link.tunnel().start(
            self._method.path, self._request, self._timeout, self._metadata
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._call is not None:
            self._call.leave()
        self._link.leave()

    def cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()

    async def __aiter__(self) -> AsyncGenerator[Res, None]:
        assert self._call is not None  # noqa: S101 - iterated inside the block only
        parse, following = self._method.response.FromString, self._call.next
        while (message := await following()) is not None:
            yield parse(message)


class _Sending(Protocol):
    async def write(self, request: bytes) -> None: ...

    async def done_writing(self) -> None: ...


async def _send(call: _Sending, message: list[bytes], turn: asyncio.Lock) -> None:
    """Sends the one message, which is taken out of its list. What fails is told by the call itself.

    A unary call of the library keeps its request until the answer has come. On the wire a stream of one message is that
    message, so the peer sees no difference.

    `turn`: of all to the same peer. The library copies a message when its sending begins, and they share a wire anyway.
    """
    with suppress(asyncio.InvalidStateError):
        async with turn:
            await call.write(message.pop())
        give_small_blocks_back()
        await call.done_writing()


async def sent(call: grpc.aio.StreamUnaryCall[bytes, Res], message: list[bytes], turn: asyncio.Lock) -> Res:
    """The answer to one message."""
    try:
        await _send(call, message, turn)
        return await call
    except BaseException:
        call.cancel()
        raise
