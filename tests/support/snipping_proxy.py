"""A TCP proxy that cuts every connection once the far side has sent so many bytes of an answer's body."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType

__all__ = ["SnippingProxy"]

STREAM = b"text/event-stream"


class SnippingProxy:
    """Only event streams are cut: `after` bytes from the one on that names their type. None = never."""

    def __init__(self, target: str, after: int | None = None) -> None:
        self._host, _, port = target.removeprefix("http://").rpartition(":")
        self._port = int(port)
        self.after = after
        self.cut = 0
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> SnippingProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        up = asyncio.create_task(_pump(reader, far_writer))
        try:
            with suppress(OSError):
                await self._down(far_reader, writer)
        finally:
            up.cancel()
            for end in (writer, far_writer):
                end.transport.abort()
            await asyncio.sleep(0)  # an aborted transport is closed in the next round of the loop
            self._serving.discard(task)

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left: int | None = None
        while data := await reader.read(65536):
            if left is None and self.after is not None and STREAM in data:
                left = self.after
            if left is not None:
                data, left = data[:left], left - len(data)
            writer.write(data)
            await writer.drain()
            if left is not None and left <= 0:
                self.cut += 1
                await asyncio.sleep(0.05)  # so that what was written arrives before the reset does
                return
        writer.write_eof()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        return
