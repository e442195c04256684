"""A backend that writes bytes of its own making on the socket: what no HTTP library would send.

async with RawBackend(flood) as backend:   # flood(writer) is called for every request for work
    backend.url, backend.written
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

MODELS = json.dumps({"object": "list", "data": [{"id": "raw", "owned_by": "raw"}]}).encode()
Script = Callable[[], AsyncIterator[bytes]]
"""What is written after a request for work has come; an empty piece waits for a moment."""


def answer(body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class RawBackend:
    """Lists one model, `raw`, and answers requests for work with a script."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.written = 0
        """Bytes of scripts that the other side has taken, as far as this side knows."""
        self.broken_off = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (
                        int(line[15:])
                        for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-length:")
                    ),
                    0,
                )
                await reader.readexactly(length)
                if head.startswith(b"POST"):
                    await self._play(writer)
                else:
                    writer.write(
                        answer(MODELS)
                        if b"/v1/models" in head
                        else b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
                    )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    async def _play(self, writer: asyncio.StreamWriter) -> None:
        try:
            async for piece in self.script():
                writer.write(piece)
                await writer.drain()
                self.written += len(piece)
        except ConnectionError:
            self.broken_off += 1
            raise
