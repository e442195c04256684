"""WebSockets at the edge: uvicorn's protocol for them with the edge's limits, and one accepted by a handler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nexus_mesh.core import JsonObject
from starlette.types import Message, Receive, Send
from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

__all__ = ["EdgeSocket", "Socket", "as_refusal"]

LINGER_SECONDS = 2
UNREADABLE = 1003
"""A code of RFC 6455: the data is of a kind that is not taken."""


class EdgeSocket(WebSocketsSansIOProtocol):
    """One client connection, from its request for a WebSocket on."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: JsonObject,
        *,
        stalled_client_seconds: float,
        left: Callable[[], None],
    ) -> None:
        """`left` is called once the connection is gone."""
        super().__init__(config, server_state, app_state)
        self._stalled_client_seconds = stalled_client_seconds
        self._left = left
        self._stall: asyncio.TimerHandle | None = None
        self._deaf = False
        """Whether what the client still sends is thrown away."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._unstall()
        super().connection_lost(exc)
        self._left()

    def data_received(self, data: bytes) -> None:
        if not self._deaf:
            super().data_received(data)

    def handle_parser_exception(self) -> None:
        """Closing at once, with input still on its way, would lose what the client is told of its mistake."""
        closed = self.conn.close_sent
        if closed is not None:
            self.queue.put_nowait(
                {"type": "websocket.disconnect", "code": closed.code, "reason": closed.reason}
            )
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = self._deaf = True
        self.close_timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)
        self.transport.resume_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = self.loop.call_later(self._stalled_client_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unstall()

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # it is over: the refusal has been sent

    def _unstall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


class Socket:
    """An accepted WebSocket that carries text."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._closed = False

    async def receive(self) -> str | None:
        """The next message; None when the client has left. One of bytes ends the connection."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._closed = True
            return None
        text: str | None = message.get("text")
        if text is None:
            await self.close(UNREADABLE, "Events are text.")
        return text

    async def send(self, text: str) -> None:
        """Waits while the client is slow to read. Says nothing to one that has left."""
        if not self._closed:
            await self._send({"type": "websocket.send", "text": text})

    async def close(self, code: int, reason: str = "") -> None:
        if not self._closed:
            self._closed = True
            await self._send({"type": "websocket.close", "code": code, "reason": reason})


def as_refusal(send: Send) -> Send:
    """Sends an answer of HTTP in place of an accepted WebSocket."""

    async def refuse(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return refuse
