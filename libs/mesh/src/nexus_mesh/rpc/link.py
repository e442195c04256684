"""The connections to one peer, under one certificate. Counts its calls, so as to be retired without cutting any."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import grpc

from nexus_mesh.identity import Identity
from nexus_mesh.rpc.channels import channel
from nexus_mesh.rpc.methods import Method
from nexus_mesh.rpc.options import Options, merged
from nexus_mesh.rpc.server import MAX_MESSAGE
from nexus_mesh.rpc.tunnel.client import OPEN, Tunnel

__all__ = ["Link"]

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

    def unary(self, method: Method[Any, Any]) -> Any:
        """The cached callable of a unary method."""
        found = self._unary.get(method.path)
        if found is None:
            found = self._unary[method.path] = self.channel.unary_unary(
                method.path, method.request.SerializeToString, method.response.FromString
            )
        return found

    def stream(self, method: Method[Any, Any]) -> Any:
        """The cached callable of a server-streaming method."""
        found = self._stream.get(method.path)
        if found is None:
            found = self._stream[method.path] = self.channel.unary_stream(
                method.path, method.request.SerializeToString, method.response.FromString
            )
        return found

    def upload(self, method: Method[Any, Any]) -> Any:
        """A callable of a unary method that is given its request, serialised, after the call has begun."""
        return self._for_uploads().stream_unary(method.path, None, method.response.FromString)

    def upload_stream(self, method: Method[Any, Any]) -> Any:
        """The same for a server-streaming method."""
        return self._for_uploads().stream_stream(method.path, None, method.response.FromString)

    def bidi(self, method: Method[Any, Any]) -> Any:
        """A callable of a two-way streaming method."""
        return self.channel.stream_stream(
            method.path, method.request.SerializeToString, method.response.FromString
        )

    def tunnel(self) -> Tunnel:
        """A tunnel that takes new calls. One that does not any more lives on until its calls have ended."""
        if self._tunnel is None or self._tunnel.closing:
            self._tunnel = Tunnel(self.bidi(OPEN)())
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
