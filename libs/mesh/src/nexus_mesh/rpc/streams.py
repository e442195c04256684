"""Server streams as their callers see them, whether each is an RPC of its own or a call in a tunnel."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Any, Generic

import grpc

from nexus_mesh.core import MeshError, Reason
from nexus_mesh.rpc.link import Link
from nexus_mesh.rpc.methods import Method, Res
from nexus_mesh.rpc.status import from_rpc_error
from nexus_mesh.rpc.tunnel.client import Metadata, TunnelCall
from nexus_mesh.rpc.uploads import send

__all__ = ["RpcStream", "StreamCall", "TunnelStream", "UploadStream"]


class StreamCall(ABC, Generic[Res]):
    """`async with` opens it; leaving the block cancels what still runs; iteration raises MeshError."""

    def __init__(
        self, link: Link, method: Method[Any, Res], timeout: float | None, metadata: Metadata
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


class RpcStream(StreamCall[Res]):
    """A stream with an RPC of its own."""

    def __init__(self, link: Link, method: Method[Any, Res], request: Any, *rest: Any) -> None:
        super().__init__(link, method, *rest)
        self._request = request
        self._call: Any = None

    async def __aenter__(self) -> RpcStream[Res]:
        self._link.enter()
        self._call = self._link.stream(self._method)(
            self._request, timeout=self._timeout, metadata=self._metadata
        )
        return self

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


class UploadStream(RpcStream[Res]):
    """The same of a large request, which is serialised and let go of once it has been sent."""

    async def __aenter__(self) -> UploadStream[Res]:
        self._link.enter()
        self._call = self._link.upload_stream(self._method)(timeout=self._timeout, metadata=self._metadata)
        message: list[bytes] = [self._request]
        del self._request
        self._sending = asyncio.ensure_future(send(self._call, message, self._link.uploading))
        self._sending.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sending.cancel()
        await super().__aexit__()


class TunnelStream(StreamCall[Res]):
    """A stream in the tunnel of its link. `request` is serialised."""

    def __init__(self, link: Link, method: Method[Any, Res], request: bytes, *rest: Any) -> None:
        super().__init__(link, method, *rest)
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
