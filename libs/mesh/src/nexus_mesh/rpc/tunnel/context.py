"""What a handler sees of a call that came through a tunnel: the part of a ServicerContext that ours use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import grpc
from google.rpc import status_pb2
from nexus.mesh.v1 import tunnel_pb2

from nexus_mesh.rpc.status import DETAILS_KEY
from nexus_mesh.rpc.tunnel.outbox import Outbox

__all__ = ["WINDOW", "TunnelContext"]

WINDOW = 64
"""Messages of a stream sent ahead of what its caller has taken."""


class TunnelContext:
    """One call. What is said after its end is not sent."""

    __slots__ = (
        "_auth",
        "_begun",
        "_call",
        "_credit",
        "_due",
        "_metadata",
        "_more",
        "_outbox",
        "_over",
        "_serialise",
    )

    def __init__(
        self,
        call: int,
        start: tunnel_pb2.Start,
        outbox: Outbox[tunnel_pb2.OpenResponse],
        auth: Mapping[str, Any],
        serialise: Callable[[Any], bytes],
    ) -> None:
        self._call = call
        self._outbox = outbox
        self._auth = auth
        self._serialise = serialise
        self._metadata = tuple(start.metadata.items())
        timeout = start.timeout
        self._due = (
            time.monotonic() + timeout.seconds + timeout.nanos / 1e9 if start.HasField("timeout") else None
        )
        self._credit = WINDOW
        self._more: asyncio.Event | None = None
        self._begun = False
        self._over = False

    # What middleware and handlers ask

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return self._metadata

    def auth_context(self) -> Mapping[str, Any]:
        return self._auth

    def time_remaining(self) -> float | None:
        return None if self._due is None else max(0.0, self._due - time.monotonic())

    def done(self) -> bool:
        return self._over

    async def write(self, response: Any) -> None:
        """Sends one message of a stream, once the caller has room for it."""
        message = self._serialise(response)
        while not self._credit:
            self._more = self._more or asyncio.Event()
            self._more.clear()
            await self._more.wait()
        self._credit -= 1
        if not self._over:
            filling = self._outbox.message(len(message), urgent=not self._begun)
            filling.frames.add(call=self._call, message=message)
            self._begun = True

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """Ends the call with a status, as an RPC of its own would end."""
        whole = dict(trailing_metadata).get(DETAILS_KEY)
        self.end(whole or status_pb2.Status(code=code.value[0], message=details).SerializeToString())
        raise grpc.aio.AbortError

    # What the tunnel does

    def taken(self, messages: int) -> None:
        """The caller can take as many more."""
        self._credit += messages
        if self._more is not None:
            self._more.set()

    def answer(self, response: Any) -> None:
        """Ends the call well, with its one response."""
        self.end(message=self._serialise(response))

    def end(self, status: bytes = b"", message: bytes | None = None) -> None:
        """Ends the call: a serialised google.rpc.Status, or nothing when it went well."""
        if not self._over:
            self._over = True
            size = len(status) if message is None else len(message)
            self._outbox.message(size).frames.add(call=self._call, message=message, end=status)

    def forget(self) -> None:
        """The caller has lost interest: nothing more is sent."""
        self._over = True
