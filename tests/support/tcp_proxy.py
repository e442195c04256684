"""A TCP proxy on loopback whose wire can be cut and joined again, or go dead without a word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType


class TcpProxy:
    """Forwards to `target` (host:port).

    While cut, connections are reset and new ones closed at once. While dead, every connection swallows what it is
    given, and those that were open then do so for ever: the far end is gone, and nobody is told, not even that the
    other one has hung up.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.sent = 0
        """Bytes that clients got through to the target."""
        self._cut = False
        self._dead = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> TcpProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.endpoint = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        self._cut = True
        for writer in self._writers:
            writer.transport.abort()

    def die(self) -> None:
        self._dead.set()

    def join(self) -> None:
        """For connections made from now on."""
        self._cut, self._dead = False, asyncio.Event()

    def _count(self, sent: int) -> None:
        self.sent += sent

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        dead = self._dead
        host, _, port = self.target.rpartition(":")
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            self._writers.discard(writer)
            writer.transport.abort()
            return
        self._writers.add(far_writer)
        try:
            await asyncio.gather(
                _pump(reader, far_writer, dead, self._count), _pump(far_reader, writer, dead)
            )
        finally:
            for end in (writer, far_writer):
                self._writers.discard(end)
                end.transport.abort()


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    dead: asyncio.Event,
    count: Callable[[int], None] = lambda _: None,
) -> None:
    try:
        while data := await reader.read(65536):
            count(len(data))
            if not dead.is_set():
                writer.write(data)
                await writer.drain()
    except OSError:
        pass
    if not dead.is_set():
        writer.transport.abort()
