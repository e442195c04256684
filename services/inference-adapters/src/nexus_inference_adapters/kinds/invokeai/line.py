"""Its Socket.IO, as far as it is needed: to subscribe to a queue, and to hear of one item of it.

Messages of Engine.IO 4 are a digit and text: 0 opens, 2 asks for a sign of life, 3 gives it, 40 connects, 42 is
an event. A client library would bring its own connections, past the one place where keys, limits and redirects are
seen to.
"""

from __future__ import annotations

import asyncio

import aiohttp
import msgspec
from nexus_mesh.core import MeshError

from nexus_inference_adapters.contract import Http, JsonObject, Patience

__all__ = ["Line"]

PATH = "/ws/socket.io/?EIO=4&transport=websocket"
CONNECT, CONNECTED, PING, PONG, EVENT = "40", "40", "2", "3", "42"
QUIET_SECONDS = 1.0
"""After which somebody looks how it is: whatever is not heard here is seen there."""


class Line:
    """Of one request. Without it progress is not told, and nothing else is lost."""

    def __init__(self, http: Http, patience: Patience, queue: str) -> None:
        self._http, self._patience, self._queue = http, patience, queue
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def open(self) -> None:
        try:
            self._socket = await self._http.socket(PATH, self._patience)
            await self._socket.send_str(CONNECT)
        except (MeshError, aiohttp.ClientError, OSError):
            self._socket = None

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def next(self) -> tuple[str, JsonObject] | None:
        """The next event and its data; None when it was quiet for a while, or is gone."""
        socket = self._socket
        if socket is None or socket.closed:
            await self._patience.wait(asyncio.sleep(QUIET_SECONDS))
            return None
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                while True:
                    message = await self._patience.wait(socket.receive())
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        return None
                    if (event := await self._heard(socket, message.data)) is not None:
                        return event
        except (TimeoutError, aiohttp.ClientError, OSError):
            return None

    async def _heard(
        self, socket: aiohttp.ClientWebSocketResponse, text: str
    ) -> tuple[str, JsonObject] | None:
        if text == PING:
            await socket.send_str(PONG)
        elif text.startswith(CONNECTED):
            about = msgspec.json.encode(["subscribe_queue", {"queue_id": self._queue}]).decode()
            await socket.send_str(EVENT + about)
        elif text.startswith(EVENT):
            try:
                return msgspec.json.decode(text[len(EVENT) :], type=tuple[str, JsonObject])
            except (ValueError, RecursionError):
                return None
        return None
