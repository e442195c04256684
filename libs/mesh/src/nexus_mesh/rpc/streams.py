"""Server streams as their callers see them, and those that have an RPC of their own."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Generic, Protocol

import grpc
from google.protobuf.message import Message

from nexus_mesh.core import MeshError, Reason, give_small_blocks_back
from nexus_mesh.rpc.channels import (
    Metadata,
    Method,
    Req,
    Res,
    Res_co,
)
from nexus_mesh.rpc.status import from_rpc_error

__all__ = ["Counted", "DuplexStream", "RpcStream", "StreamCall", "UploadStream", "Uploads", "read_out"]


class _Receiving(Protocol[Res_co]):
    def __aiter__(self) -> AsyncIterator[Res_co]: ...

    def cancel(self) -> bool: ...


class Counted(Protocol):
    """What a call runs on, and that is not closed under it."""

    def enter(self) -> None: ...

    def leave(self) -> None: ...


class StreamCall(ABC, Generic[Res]):
    """`async with` opens it; leaving the block cancels what still runs; iteration raises MeshError."""

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

    def __init__(self, link: Counted, timeout: float | None, metadata: Metadata) -> None:
        self._link = link
        self._timeout = timeout
        self._metadata = metadata

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
    """The answer to a request that is a message. `opening` calls the method."""

    def __init__(
        self,
        link: Counted,
        opening: grpc.aio.UnaryStreamMultiCallable[Req, Res],
        request: Req,
        timeout: float | None,
        metadata: Metadata,
    ) -> None:
        super().__init__(link, timeout, metadata)
        self._open = partial(opening, request)

    async def __aenter__(self) -> RpcStream[Res]:
        self._link.enter()
        self._call = self._open(timeout=self._timeout, metadata=self._metadata)
        return self


class _Sending(Protocol):
    async def write(self, request: bytes) -> None: ...

    async def done_writing(self) -> None: ...


class Uploads:
    """Large requests have a connection of their own: on one that is shared, all others wait while one passes.

    Each is serialised, and let go of once it has been sent.
    """

    def __init__(self, opening: Callable[[], grpc.aio.Channel]) -> None:
        self._opening = opening
        self._channel: grpc.aio.Channel | None = None
        self._turn = asyncio.Lock()
        """Held while one is sent: the library copies a message when its sending begins, and the wire is one anyway."""

    async def unary(
        self, method: Method[Message, Res], message: list[bytes], timeout: float | None, metadata: Metadata
    ) -> Res:
        """The answer to the one message, which is taken out of its list."""
        opening: grpc.aio.StreamUnaryMultiCallable[bytes, Res] = self._connection().stream_unary(
            method.path, None, method.response.FromString
        )
        call = opening(timeout=timeout, metadata=metadata)
        try:
            await self.send(call, message)
            return await call
        except BaseException:
            call.cancel()
            raise

    def stream(
        self, method: Method[Message, Res], timeout: float | None, metadata: Metadata
    ) -> grpc.aio.StreamStreamCall[bytes, Res]:
        """A call of a server-streaming method that is given its request after it has begun."""
        opening: grpc.aio.StreamStreamMultiCallable[bytes, Res] = self._connection().stream_stream(
            method.path, None, method.response.FromString
        )
        return opening(timeout=timeout, metadata=metadata)

    def duplex(
        self, method: Method[Req, Res], timeout: float | None, metadata: Metadata
    ) -> grpc.aio.StreamStreamCall[Req, Res]:
        """A call that goes on sending: its messages are small, so that others' pass between them."""
        opening: grpc.aio.StreamStreamMultiCallable[Req, Res] = self._connection().stream_stream(
            method.path, method.request.SerializeToString, method.response.FromString
        )
        return opening(timeout=timeout, metadata=metadata)

    async def send(self, call: _Sending, message: list[bytes]) -> None:
        """Sends the one message, which is taken out of its list. What fails is told by the call itself.

        A unary call of the library keeps its request until the answer has come. On the wire a stream of one message is
        that message, so the peer sees no difference.
        """
        with suppress(asyncio.InvalidStateError):
            async with self._turn:
                await call.write(message.pop())
            give_small_blocks_back()
            await call.done_writing()

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()

    def _connection(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._channel = self._opening()
        return self._channel


class UploadStream(_OwnRpc[Res]):
    """The answer to a request that is large."""

    def __init__(
        self,
        link: Counted,
        uploads: Uploads,
        method: Method[Message, Res],
        request: bytes,
        timeout: float | None,
        metadata: Metadata,
    ) -> None:
        super().__init__(link, timeout, metadata)
        self._uploads = uploads
        self._method = method
        self._message = [request]

    async def __aenter__(self) -> UploadStream[Res]:
        self._link.enter()
        self._call = call = self._uploads.stream(self._method, self._timeout, self._metadata)
        self._sending = asyncio.ensure_future(self._uploads.send(call, self._message))
        self._sending.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sending.cancel()
        await super().__aexit__()


class DuplexStream(_OwnRpc[Res], Generic[Req, Res]):
    """A call whose caller goes on sending while the answer comes."""

    def __init__(
        self,
        link: Counted,
        uploads: Uploads,
        method: Method[Req, Res],
        timeout: float | None,
        metadata: Metadata,
    ) -> None:
        super().__init__(link, timeout, metadata)
        self._uploads = uploads
        self._method = method

    async def __aenter__(self) -> DuplexStream[Req, Res]:
        self._link.enter()
        self._call = self._sending = self._uploads.duplex(self._method, self._timeout, self._metadata)
        return self

    async def send(self, message: Req) -> bool:
        """Returns once there is room for the next; False when the call has ended, which its iteration tells of."""
        with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
            await self._sending.write(message)
            return True
        return False

    async def close_sending(self) -> None:
        """Nothing more will be sent."""
        with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
            await self._sending.done_writing()


READ_OUT_SECONDS = 2.0


async def read_out(messages: AsyncIterator[object]) -> None:
    """Takes what its caller still sends, for a moment: it loses the status of a call that ends while it writes.

    See grpc/grpc#36066.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(READ_OUT_SECONDS):
            async for _ in messages:
                pass
