"""A peer of the mesh as its callers see it: typed calls, deadlines that travel, certificates that change unseen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import grpc
from google.protobuf.message import Message

from nexus_mesh.core import Backoff, MeshError, Reason, telemetry
from nexus_mesh.identity import Identity
from nexus_mesh.rpc.channels import (
    KEPT_UP,
    Duplex,
    Metadata,
    Method,
    Req,
    Res,
    blocking_channel,
    channel,
    merged,
)
from nexus_mesh.rpc.middleware import REQUEST_ID_KEY, remaining
from nexus_mesh.rpc.sending import Sending
from nexus_mesh.rpc.status import from_rpc_error
from nexus_mesh.rpc.streams import DuplexStream, RpcStream, StreamCall, Uploads, UploadStream
from nexus_mesh.rpc.tunnel.client import OPEN, Tunnel, TunnelStream, in_tunnel

__all__ = ["Link", "Method", "Peer", "Req", "StreamCall"]

log = telemetry.logger("client")
HOP_MARGIN = 0.05
RETIRE_GRACE = 35 * 60.0
CONNECT_TIMEOUT = 5.0

LARGEST_IN_TUNNEL = 256 * 1024
"""Bytes of a request; a larger one would hold up the others of its tunnel, and has an RPC of its own."""


class Link:
    """The connections to a peer under one certificate. It counts its calls, so as to be retired without cutting any."""

    def __init__(self, address: str, server_name: str, identity: Identity) -> None:
        named = merged(KEPT_UP, [("grpc.ssl_target_name_override", server_name)])
        credentials = identity.channel_credentials()
        opening = partial(channel, address, credentials, named)
        self.channel = opening()
        self.uploads = Uploads(opening)
        self.sending = Sending(partial(blocking_channel, address, credentials, named))
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
            await self.uploads.close()
            await self.sending.close()


class Peer:
    """One address under one server name. Calls raise MeshError; a transport failure has metadata transport=1."""

    def __init__(self, address: str, server_name: str, identity: Identity) -> None:
        self.address = address
        self.server_name = server_name
        self._identity = identity
        self._link = Link(address, server_name, identity)
        self._tasks: set[asyncio.Task[None]] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._unsubscribe = identity.subscribe(self._renew)

    async def unary(
        self, method: Method[Req, Res], request: Req | bytes, *, timeout: float, metadata: Metadata = ()
    ) -> Res:
        """Calls and returns the response. `timeout` in seconds, cut to what is left of the RPC being served.

        A request that is serialised already is for those that are large: it is let go of once it has been sent.
        """
        link, limit, metadata = self._link, _limit(timeout), _correlated(metadata)
        link.enter()
        try:
            packed = _packed(method, request)
            if not isinstance(packed, bytes):
                return await link.unary(method)(packed, timeout=limit, metadata=metadata)
            if method.tunnelled and len(packed) <= LARGEST_IN_TUNNEL:
                return await in_tunnel(link, method, packed, limit, metadata)
            message = [packed]
            del request, packed
            return await link.uploads.unary(method, message, limit, metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        except asyncio.CancelledError:
            # The library raises this for a call whose channel we closed too; only a cancelled task may pass it on.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise MeshError(
                Reason.BACKEND_LOST, "The connection was closed.", metadata={"transport": "1"}
            ) from None
        finally:
            link.leave()

    def stream(
        self,
        method: Method[Req, Res],
        request: Req | bytes,
        *,
        timeout: float | None,
        metadata: Metadata = (),
    ) -> StreamCall[Res]:
        """Opens a server stream: `async with peer.stream(...) as call: async for message in call`."""
        link, limit, metadata = self._link, _limit(timeout), _correlated(metadata)
        packed = _packed(method, request)
        if not isinstance(packed, bytes):
            return RpcStream(link, link.stream(method), packed, limit, metadata)
        if method.tunnelled and len(packed) <= LARGEST_IN_TUNNEL:
            return TunnelStream(link, method, packed, limit, metadata)
        return UploadStream(link, link.uploads, method, packed, limit, metadata)

    def duplex(self, method: Method[Req, Res], *, timeout: float | None) -> DuplexStream[Req, Res]:
        """Opens a call that goes on sending: `async with peer.duplex(...) as call`, then `send` beside iteration."""
        link = self._link
        return DuplexStream(link, link.uploads, method, _limit(timeout), _correlated(()))

    async def send(
        self, method: Method[Req, Res], messages: AsyncIterator[Req], *, timeout: float | None
    ) -> Res:
        """Calls with a request that comes in pieces, and returns the response: a refusal keeps its reason even while
        pieces are still sent.
        """
        link = self._link
        link.enter()
        try:
            return await link.sending.call(method, messages, _limit(timeout), _correlated(()))
        finally:
            link.leave()

    @asynccontextmanager
    async def bidi(self, method: Method[Req, Res]) -> AsyncGenerator[tuple[Duplex[Req, Res], Link], None]:
        """Opens a two-way stream: the gRPC call (read, write) and the link it runs on. Cancelled on leaving."""
        link = self._link
        link.enter()
        call = link.bidi(method)
        try:
            yield call, link
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        finally:
            call.cancel()
            link.leave()

    async def follow(
        self,
        method: Method[Req, Res],
        make_request: Callable[[], Req],
        *,
        on_state: Callable[[bool], None] | None = None,
        on_error: Callable[[MeshError], None] | None = None,
    ) -> AsyncIterator[Res]:
        """Yields the messages of a watch for ever, opening it again with make_request() after each loss."""
        backoff, tell = Backoff(), on_state or _unheard
        while True:
            up = False
            try:
                async for message in self._until_retired(method, make_request()):
                    if not up:
                        up = True
                        backoff.reset()
                        tell(True)
                    yield message
            except MeshError as error:
                log.debug("watch lost", method=method.path, address=self.address, reason=error.reason.value)
                if error.reason is Reason.REVISION_EXPIRED:
                    backoff.reset()  # the peer is there; it only wants another request
                if on_error is not None:
                    on_error(error)
            else:
                continue  # our certificate changed: open again at once on the new link
            if up:
                tell(False)
            await backoff.wait()

    async def _until_retired(self, method: Method[Req, Res], request: Req) -> AsyncIterator[Res]:
        """One watch; ends normally when its link is retired, raises MeshError when it ends otherwise."""
        link = self._link
        async with RpcStream(link, link.stream(method), request, None, _correlated(())) as call:
            retired = asyncio.ensure_future(link.retired.wait())
            retired.add_done_callback(lambda done: None if done.cancelled() else call.cancel())
            try:
                async for message in call:
                    yield message
            except MeshError:
                if not link.retired.is_set():
                    raise
                return
            finally:
                retired.cancel()
        if not link.retired.is_set():
            raise MeshError(Reason.BACKEND_LOST, "The watch ended.")

    @property
    def is_ready(self) -> bool:
        """Whether the connection stands, as far as has been noticed."""
        return self._connectivity() is grpc.ChannelConnectivity.READY

    @property
    def is_failing(self) -> bool:
        """Whether it could not be made, and a pause runs until it is tried again."""
        return self._connectivity() is grpc.ChannelConnectivity.TRANSIENT_FAILURE

    def _connectivity(self) -> grpc.ChannelConnectivity:
        """The current state of the connection; asking starts none."""
        return self._link.channel.get_state()

    async def wait_ready(self, timeout: float) -> bool:
        """Connects if need be; whether the peer answered the handshake in time. Sends no request."""
        link = self._link
        try:
            async with asyncio.timeout(timeout):
                await link.channel.channel_ready()
        except (TimeoutError, grpc.aio.UsageError):
            return False
        return True

    async def close(self, grace: float = 0.0) -> None:
        """Closes after at most `grace` seconds for running calls."""
        self._unsubscribe()
        for task in tuple(self._tasks):
            task.cancel()
        await self._link.retire(grace)

    def _renew(self) -> None:
        if self._renewing is None or self._renewing.done():
            self._renewing = self._spawn(self._replace_link())

    async def _replace_link(self) -> None:
        """Makes before it breaks: the new link is connected before calls go to it, the old one drains."""
        while True:
            material = self._identity.material
            fresh = Link(self.address, self.server_name, self._identity)
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await fresh.channel.channel_ready()
            except TimeoutError:
                log.debug("peer not reachable with the new certificate yet", address=self.address)
            except BaseException:
                await fresh.channel.close()
                raise
            old, self._link = self._link, fresh
            self._spawn(old.retire(RETIRE_GRACE))
            if material is self._identity.material:
                return

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _packed(method: Method[Message, Message], request: Req | bytes) -> Req | bytes:
    """The request, serialised where it may travel in the tunnel; as it is where it is large, or an RPC's message."""
    if isinstance(request, bytes) or not method.tunnelled:
        return request
    return request.SerializeToString()


def _unheard(_: bool) -> None:
    """What a watch says whose states nobody listens to."""


def _limit(timeout: float | None) -> float | None:
    left = remaining()
    if left is None:
        return timeout
    left = max(0.0, left - HOP_MARGIN)
    return left if timeout is None else min(timeout, left)


def _correlated(metadata: Metadata) -> Metadata:
    if request_id := telemetry.current_request_id():
        metadata = (*metadata, (REQUEST_ID_KEY, request_id))
    return telemetry.traced(metadata)
