"""A web server of strangers: pictures, redirects, and the ways to be a nuisance; and doors that must stay shut."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["PNG", "Doors", "WebServer", "shut_doors", "web_server"]

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360f8cfc0f01f0005000201a5f645400000000049454e44ae426082"
)


class WebServer:
    """Answers by path; `asked` has the request heads as they came."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.asked: list[str] = []
        self.connections = 0
        self.running = set[asyncio.Task[None]]()

    def url(self, path: str) -> str:
        return f"http://{self.host}:{self.port}{path}"

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.asked.append(head)
            place = urlsplit(head.split(" ")[1])
            query = {name: values[0] for name, values in parse_qs(place.query).items()}
            await getattr(self, place.path.strip("/").replace("-", "_").replace(".", "_"))(writer, query)
            await writer.drain()

    async def picture_png(self, out: asyncio.StreamWriter, _: dict[str, str]) -> None:
        _answer(out, PNG, "image/png")

    async def unnamed(self, out: asyncio.StreamWriter, _: dict[str, str]) -> None:
        _answer(out, PNG, "application/octet-stream")

    async def page(self, out: asyncio.StreamWriter, _: dict[str, str]) -> None:
        _answer(out, b"<html>the secret of this page</html>", "text/html; charset=utf-8")

    async def liar(self, out: asyncio.StreamWriter, _: dict[str, str]) -> None:
        _answer(out, b"<html>the secret of this page</html>", "image/png")

    async def missing(self, out: asyncio.StreamWriter, _: dict[str, str]) -> None:
        _answer(out, b"the secret of this page", "text/plain", "404 Not Found")

    async def to(self, out: asyncio.StreamWriter, query: dict[str, str]) -> None:
        status = query.get("status", "302")
        out.write(
            f"HTTP/1.1 {status} Moved\r\nLocation: {unquote(query['url'])}\r\nContent-Length: 0\r\n\r\n".encode()
        )

    async def hops(self, out: asyncio.StreamWriter, query: dict[str, str]) -> None:
        left = int(query["left"])
        where = f"/hops?left={left - 1}" if left else "/picture.png"
        out.write(f"HTTP/1.1 307 Moved\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode())

    async def large(self, out: asyncio.StreamWriter, query: dict[str, str]) -> None:
        size = int(query["size"])
        out.write(_head("image/png", f"Content-Length: {size}"))
        out.write(PNG)
        for _ in range((size - len(PNG)) // 65_536):
            out.write(bytes(65_536))
            await out.drain()
        out.write(bytes((size - len(PNG)) % 65_536))

    async def endless(self, out: asyncio.StreamWriter, _: dict[str, str]) -> None:
        out.write(_head("image/png", "Transfer-Encoding: chunked"))
        while True:
            out.write(b"10000\r\n" + bytes(65_536) + b"\r\n")
            await out.drain()

    async def slow(self, out: asyncio.StreamWriter, _: dict[str, str]) -> None:
        out.write(_head("image/png", "Content-Length: 100"))
        while True:
            out.write(b".")
            await out.drain()
            await asyncio.sleep(0.2)

    async def silent(self, out: asyncio.StreamWriter, _: dict[str, str]) -> None:
        await asyncio.sleep(60)

    async def endless_head(self, out: asyncio.StreamWriter, _: dict[str, str]) -> None:
        out.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            out.write(b"X-More: " + b"a" * 1000 + b"\r\n")
            await out.drain()

    async def cut(self, out: asyncio.StreamWriter, _: dict[str, str]) -> None:
        out.write(_head("image/png", f"Content-Length: {len(PNG) + 10}") + PNG)

    async def bomb(self, out: asyncio.StreamWriter, _: dict[str, str]) -> None:
        packed = gzip.compress(bytes(64 << 20))
        out.write(_head("image/png", f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}"))
        out.write(packed)


def _head(kind: str, *more: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Type: {kind}", *more, "", ""]).encode()


def _answer(out: asyncio.StreamWriter, body: bytes, kind: str, status: str = "200 OK") -> None:
    out.write(_head(kind, f"Content-Length: {len(body)}", status=status) + body)


@asynccontextmanager
async def web_server(host: str = "127.0.0.1") -> AsyncIterator[WebServer]:
    found = WebServer(host, 0)
    server = await asyncio.start_server(found.take, host, 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for task in tuple(found.running):
            task.cancel()
        await asyncio.gather(*found.running, return_exceptions=True)


class Doors:
    """Listeners that nobody may come to, on one port."""

    def __init__(self) -> None:
        self.port = 0
        self.opened = 0

    async def count(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        writer.close()


@asynccontextmanager
async def shut_doors(hosts: Sequence[str] = ("127.0.0.1", "127.0.0.2", "::1")) -> AsyncIterator[Doors]:
    """On each address that this machine has, the same port."""
    doors, servers = Doors(), list[asyncio.Server]()
    for host in hosts:
        with suppress(OSError):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            servers.append(await asyncio.start_server(doors.count, host, doors.port, family=family))
            doors.port = doors.port or servers[0].sockets[0].getsockname()[1]
    try:
        yield doors
    finally:
        for server in servers:
            server.close()
