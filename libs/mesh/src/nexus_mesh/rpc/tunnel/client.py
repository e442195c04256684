"""The caller's end of a tunnel: calls that look like RPCs and cost a fraction of one. Both ends write by its outbox."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, Protocol, TypeVar

import grpc
from google.protobuf.message import Message
from nexus.mesh.v1 import tunnel_pb2

from nexus_mesh.core import MeshError, Reason
from nexus_mesh.rpc.channels import Duplex, Metadata, Method, Res
from nexus_mesh.rpc.status import from_rpc_error, from_status
from nexus_mesh.rpc.streams import Counted, StreamCall

__all__ = ["OPEN", "WINDOW", "Outbox", "Tunnel", "TunnelCall", "TunnelStream", "in_tunnel"]

OPEN = Method("nexus.mesh.v1.TunnelService", "Open", tunnel_pb2.OpenRequest, tunnel_pb2.OpenResponse)
WINDOW = 64
"""Messages of a stream sent ahead of what its caller has taken."""
ACKNOWLEDGED_AFTER = WINDOW // 2
"""Messages taken before the server hears of it: often enough that it never waits for a caller that keeps up."""

M = TypeVar("M", tunnel_pb2.OpenRequest, tunnel_pb2.OpenResponse)

BATCH_BYTES = 256 * 1024
"""Together frames are at most this large, so that a big answer holds up the small ones no longer than it must."""
PAUSE = 0.002
"""Seconds between messages that hold nothing urgent: waking the other side costs more than what it is woken for."""


class Tunnel:
    """`rpc` is the two-way gRPC call. Once `closing`, running calls go on and new ones need another tunnel."""

    def __init__(self, rpc: Duplex[tunnel_pb2.OpenRequest, tunnel_pb2.OpenResponse]) -> None:
        self.closing = False
        self._rpc = rpc
        self._outbox = Outbox(tunnel_pb2.OpenRequest)
        self._calls: dict[int, TunnelCall] = {}
        self._last = 0
        self._tasks = (
            asyncio.create_task(self._read(), name="tunnel read"),
            asyncio.create_task(self._write(), name="tunnel write"),
        )

    def start(self, path: str, request: bytes, timeout: float | None, metadata: Metadata) -> TunnelCall:
        """Begins a call. `timeout` in seconds; afterwards the call fails with TIMEOUT."""
        self._last = number = self._last + 1
        frame = self._outbox.message(len(request)).frames.add(call=number)
        start = frame.start
        start.method = path
        start.request = request
        if timeout is not None:
            start.timeout.FromNanoseconds(int(timeout * 1e9))
        for key, value in metadata:
            start.metadata[key] = value
        call = self._calls[number] = TunnelCall(self, number, timeout)
        return call

    async def close(self) -> None:
        """Ends the tunnel; what still runs in it fails."""
        self._rpc.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def leave(self, number: int, *, ended: bool) -> None:
        """A call is over for its caller. Unless it has `ended` by itself, the server is told."""
        if self._calls.pop(number, None) is not None and not ended and not self._rpc.done():
            self._outbox.message(1).frames.add(call=number).cancel.SetInParent()

    def acknowledge(self, number: int, messages: int) -> None:
        self._outbox.message(1).frames.add(call=number, taken=messages)

    async def _write(self) -> None:
        # When it fails, the reader learns why and tells all calls.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self._outbox.run(self._rpc.write)

    async def _read(self) -> None:
        failure: grpc.aio.AioRpcError | None = None
        try:
            while (message := await self._rpc.read()) is not grpc.aio.EOF:
                self.closing = self.closing or message.closing
                for frame in message.frames:
                    call = self._calls.get(frame.call)
                    if call is not None:
                        call.receive(frame)
        except grpc.aio.AioRpcError as error:
            failure = error
        finally:
            self.closing = True
            self._tasks[1].cancel()  # nobody else would: whoever has the tunnel takes another one now
            for call in tuple(self._calls.values()):
                call.fail(_lost() if failure is None else from_rpc_error(failure))


class TunnelCall:
    """One call. Every call is left, once, by leave(); what it has received is then forgotten."""

    __slots__ = ("_ended", "_error", "_messages", "_number", "_taken", "_timer", "_tunnel", "_waiting")

    def __init__(self, tunnel: Tunnel, number: int, timeout: float | None) -> None:
        self._tunnel = tunnel
        self._number = number
        self._messages: deque[bytes] = deque()
        self._ended = False
        self._error: MeshError | None = None
        self._taken = 0
        self._waiting: asyncio.Future[None] | None = None
        self._timer = (
            None if timeout is None else asyncio.get_running_loop().call_later(timeout, self._expire)
        )

    async def next(self) -> bytes | None:
        """The next message, None after the last. Raises the MeshError the call ended with."""
        while not self._messages:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        self._taken += 1
        if self._taken == ACKNOWLEDGED_AFTER and not self._ended:
            self._tunnel.acknowledge(self._number, self._taken)
            self._taken = 0
        return self._messages.popleft()

    def cancel(self) -> None:
        """Gives the call up; whoever waits for it is told."""
        self.fail(MeshError(Reason.BACKEND_LOST, "The call was cancelled."))

    def leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._tunnel.leave(self._number, ended=self._ended)

    # What the tunnel tells

    def receive(self, frame: tunnel_pb2.ServerFrame) -> None:
        if frame.HasField("message"):
            self._messages.append(frame.message)
        if frame.HasField("end"):
            self._ended = True
            if frame.end:
                self._error = self._error or from_status(frame.end)
        self._wake()

    def fail(self, error: MeshError) -> None:
        """The call ends badly, unless it has ended before."""
        if not self._ended:
            self._error = self._error or error
            self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _expire(self) -> None:
        self.fail(
            MeshError(
                Reason.TIMEOUT,
                "The time allowed for the call is over.",
                metadata={"grpc": grpc.StatusCode.DEADLINE_EXCEEDED.name},
            )
        )


class Tunnelled(Counted, Protocol):
    """A link with a tunnel that takes new calls."""

    def tunnel(self) -> Tunnel: ...


class TunnelStream(StreamCall[Res]):
    """A stream in the tunnel of its link. `request` is serialised."""

    def __init__(
        self,
        link: Tunnelled,
        method: Method[Message, Res],
        request: bytes,
        timeout: float | None,
        metadata: Metadata,
    ) -> None:
        self._link = link
        self._method = method
        self._timeout = timeout
        self._metadata = metadata
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


async def in_tunnel(
    link: Tunnelled, method: Method[Message, Res], request: bytes, timeout: float | None, metadata: Metadata
) -> Res:
    """The answer to a unary call in the tunnel of a link. `request` is serialised."""
    call = link.tunnel().start(method.path, request, timeout, metadata)
    try:
        message = await call.next()
    finally:
        call.leave()
    if message is None:
        raise MeshError(Reason.BACKEND_LOST, "The service ended the call without an answer.")
    return method.response.FromString(message)


def _lost() -> MeshError:
    return MeshError(Reason.BACKEND_DOWN, "The service ended the tunnel.", metadata={"transport": "1"})


class Outbox(Generic[M]):
    """`make` gives an empty message. Whoever gets a frame fills it before giving control away."""

    def __init__(self, make: Callable[[], M]) -> None:
        self._make = make
        self._full: deque[M] = deque()
        self._filling = make()
        self._size = 0
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._written = 0.0
        self._closed = False

    def message(self, size: int, *, urgent: bool = True) -> M:
        """The message to add a frame of about `size` bytes to. What is not urgent may wait a moment for company."""
        if self._size and self._size + size > BATCH_BYTES:
            self._full.append(self._filling)
            self._filling, self._size = self._make(), 0
        self._size += size + 1
        if urgent or self._full:
            self._wake.set()
        elif self._timer is None:
            self._timer = self._loop.call_at(self._written + PAUSE, self._come)
        return self._filling

    def close(self) -> None:
        """Lets run() end once everything is written."""
        self._closed = True
        self._wake.set()

    async def run(self, write: Callable[[M], Awaitable[None]]) -> None:
        """Writes until closed. Ends with whatever `write` raises."""
        while self._size or not self._closed:
            await self._wake.wait()
            self._wake.clear()
            self._written = self._loop.time()
            while self._full:
                await write(self._full.popleft())
            if self._size:
                message, self._filling, self._size = self._filling, self._make(), 0
                await write(message)

    def _come(self) -> None:
        self._timer = None
        self._wake.set()
