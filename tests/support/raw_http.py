"""HTTP/1.1 by hand: bytes out, and what came back taken apart, for what no client library would send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

DEADLINE = 10.0


@dataclass
class RawAnswer:
    """One response as it stood on the wire. `body` has chunked framing taken off."""

    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        return self.json["error"]["code"]


class RawConnection:
    """One TCP connection. `async with RawConnection(port) as connection`."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> RawConnection:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()
        await asyncio.sleep(0)

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> RawAnswer:
        """The next response. TimeoutError after DEADLINE, EOFError when the server closed without one."""
        async with asyncio.timeout(DEADLINE):
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                raise EOFError("closed without an answer") from None
            status, headers = _head(head)
            body, complete = await self._body(status, headers)
            return RawAnswer(status, headers, body, complete)

    async def closed(self) -> bool:
        """Waits until the server has closed the connection; what it still sends is thrown away."""
        async with asyncio.timeout(DEADLINE):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                pass
            return True

    async def _body(self, status: int, headers: dict[str, str]) -> tuple[bytes, bool]:
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"])), True
        if headers.get("transfer-encoding") != "chunked" or status == 304:
            return b"", True
        pieces: list[bytes] = []
        try:
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                pieces.append((await self.reader.readexactly(size + 2))[:-2])
            await self.reader.readexactly(2)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b"".join(pieces), False
        return b"".join(pieces), True


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in lines if line)
    return int(status.split(" ")[1]), {name.lower(): value for name, value in pairs}


def request(
    method: str = "POST",
    path: str = "/v1/chat/completions",
    body: bytes | None = None,
    headers: Iterable[str] = (),
    *,
    host: str | None = "localhost",
    content_type: str | None = "application/json",
) -> bytes:
    """A well-formed request, with `headers` as whole lines added."""
    lines = [f"{method} {path} HTTP/1.1", *([f"Host: {host}"] if host is not None else []), *headers]
    if body is not None:
        lines += [f"Content-Type: {content_type}"] if content_type is not None else []
        lines += [f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chat(**fields: Any) -> bytes:
    """The body of a good chat request, with `fields` changed or added; a field set to `...` is left out."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return json.dumps({name: value for name, value in body.items() if value is not ...}).encode()


async def ask(port: int, data: bytes) -> RawAnswer:
    """Sends `data` on a connection of its own and reads one answer."""
    async with RawConnection(port) as connection:
        connection.send(data)
        return await connection.answer()


async def assert_serves(port: int) -> None:
    """The process still answers a good request."""
    answer = await ask(port, request(body=chat()))
    assert answer.status == 200, answer


def assert_envelope(answer: RawAnswer, status: int, code: str | None, param: str | None = None) -> None:
    """The answer is OpenAI's error envelope, whole, with the headers every answer carries."""
    assert (answer.status, answer.code) == (status, code), answer
    error = answer.json["error"]
    assert set(error) - {"context"} == {"message", "type", "param", "code", "docs"}
    assert error["param"] == param
    assert isinstance(error["message"], str)
    assert error["message"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["openai-version"] == "2020-10-01"
    assert answer.headers["openai-processing-ms"].isdigit()
