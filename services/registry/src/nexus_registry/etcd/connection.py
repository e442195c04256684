"""One gRPC channel to one member. It is never repaired: when it is lost or replaced, another is dialled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import grpc
import grpc.aio
from grpc import ChannelConnectivity
from nexus.etcd.v1 import rpc_pb2_grpc
from nexus_mesh.rpc import Options, channel, merged

from nexus_registry.etcd.errors import UnavailableError, translate

Request = TypeVar("Request")
Response = TypeVar("Response")

OPTIONS: Options = (
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    # etcd's servers count pings on a connection without calls as abuse and drop it ("too_many_pings").
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_retries", 0),
    # Shared subchannels would hand a new channel the old connection, with the old certificate.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 64 << 20),
)

# Without it a member that lost the others keeps streams open and silently stale; with it, it ends them.
REQUIRE_LEADER = (("hasleader", "true"),)

_FAILED = (ChannelConnectivity.TRANSIENT_FAILURE, ChannelConnectivity.SHUTDOWN)


class Stream(Generic[Request, Response]):
    """A bidirectional call whose every end is an EtcdError: `read` returns messages and nothing else."""

    def __init__(self, method: grpc.aio.StreamStreamMultiCallable[Request, Response], endpoint: str) -> None:
        self._endpoint = endpoint
        self._cancelled = False
        self._requests: asyncio.Queue[Request | None] = asyncio.Queue()
        self._call = method(self._outgoing(), metadata=REQUIRE_LEADER)
        self._call.add_done_callback(lambda _: self._requests.put_nowait(None))

    def send(self, request: Request) -> None:
        """Queue a request, without waiting: grpc.aio's own `write` never returns from a call cancelled early."""
        self._requests.put_nowait(request)

    def on_done(self, callback: Callable[[], None]) -> None:
        """Call back once the call has ended, however it did."""
        self._call.add_done_callback(lambda _: callback())

    async def _outgoing(self) -> AsyncIterator[Request]:
        while (request := await self._requests.get()) is not None:
            yield request

    async def read(self) -> Response:
        with self._translated():
            message = await self._call.read()
        if message is grpc.aio.EOF:
            raise UnavailableError(f"etcd at {self._endpoint} ended the stream.")
        return message  # pyright: ignore[reportReturnType] - EOF has no type of its own to narrow by

    def cancel(self) -> None:
        """End the call; a pending `read` raises UnavailableError."""
        self._cancelled = True
        self._call.cancel()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise translate(error, self._endpoint) from error
        except asyncio.InvalidStateError as error:
            raise UnavailableError(f"The stream to etcd at {self._endpoint} is over.") from error
        except asyncio.CancelledError:
            # grpc.aio reports a cancelled call in the same way as a cancelled task.
            task = asyncio.current_task()
            given_up, self._cancelled = self._cancelled, True
            if not given_up or (task is not None and task.cancelling()):
                raise
            raise UnavailableError(f"The connection to etcd at {self._endpoint} was given up.") from None


class Connection:
    """The stubs of one member, and the streams to end when the connection is given up."""

    def __init__(
        self, endpoint: str, credentials: grpc.ChannelCredentials | None, server_name: str | None = None
    ) -> None:
        self.endpoint = endpoint
        named = [("grpc.ssl_target_name_override", server_name)] if server_name else []
        self._channel = channel(endpoint, credentials, merged(OPTIONS, named))
        self.kv = rpc_pb2_grpc.KVStub(self._channel)
        self.lease = rpc_pb2_grpc.LeaseStub(self._channel)
        self.watch = rpc_pb2_grpc.WatchStub(self._channel)
        self.maintenance = rpc_pb2_grpc.MaintenanceStub(self._channel)
        self._streams: set[Stream[Any, Any]] = set()
        self._closing = False

    @property
    def usable(self) -> bool:
        return not self._closing and self._channel.get_state() is ChannelConnectivity.READY

    async def ready(self, timeout: float) -> bool:
        """Connect; False if that fails or takes more than `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while (state := self._channel.get_state(try_to_connect=True)) not in _FAILED:
                    if state is ChannelConnectivity.READY:
                        return True
                    await self._channel.wait_for_state_change(state)
        except TimeoutError:
            pass  # a frozen member: its kernel accepts, nobody answers
        return False

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float,
    ) -> Response:
        """One unary call, given up after `timeout` seconds. Raises EtcdError."""
        if self._closing:
            raise UnavailableError(f"The connection to etcd at {self.endpoint} was given up.")
        try:
            return await method(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise translate(error, self.endpoint) from error

    def stream(
        self, method: grpc.aio.StreamStreamMultiCallable[Request, Response]
    ) -> Stream[Request, Response]:
        """Open a bidirectional call. Raises UnavailableError if this connection was given up."""
        if self._closing:
            raise UnavailableError(f"The connection to etcd at {self.endpoint} was given up.")
        stream = Stream(method, self.endpoint)
        self._streams.add(stream)
        stream.on_done(lambda: self._streams.discard(stream))
        return stream

    def retire(self) -> None:
        """Take no new calls and end the streams; unary calls in flight go on until `close`."""
        self._closing = True
        for stream in tuple(self._streams):
            stream.cancel()

    async def close(self, grace: float = 0.0) -> None:
        """Retire, and end the unary calls in flight after at most `grace` seconds."""
        self.retire()
        await self._channel.close(grace)
