"""A model server that costs next to nothing: whole answers at once, streams at an exact pace.

python -m bench.engine PORT RATE MODEL...    (RATE in chunks per second for each stream; 0: it does not stream)
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from typing import cast

import uvloop

from bench import answers

__all__ = ["serve"]

TICK = 0.001
"""Streams keep the phase they arrived with, to the millisecond: chunks of all streams do not come in one burst."""
BACKLOG = 4096
DEFAULT_CHUNKS = 50


def _response(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = _framed(answers.chunk())
CLOSING = _framed(answers.closing()) + b"0\r\n\r\n"
CANNED = _response(answers.canned())
MISSING = _response(b"{}", "404 Not Found")


class Pacer:
    """A wheel of slots, one for each millisecond between two chunks; a tick feeds the streams of the slots passed."""

    def __init__(self, rate: float) -> None:
        self._slots: list[set[Engine]] = [set() for _ in range(max(1, round(1 / rate / TICK)))]
        self._position = 0
        self._began = time.monotonic()

    def add(self, stream: Engine) -> None:
        self._slots[self._position % len(self._slots)].add(stream)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            now = int((time.monotonic() - self._began) / TICK)
            for position in range(self._position + 1, now + 1):
                slot = self._slots[position % len(self._slots)]
                slot.difference_update([stream for stream in slot if not stream.feed()])
            self._position = now


class Engine(asyncio.Protocol):
    """One keep-alive connection: requests one after the other, each with a Content-Length."""

    def __init__(self, pacer: Pacer | None, listing: bytes) -> None:
        self._pacer = pacer
        self._listing = listing
        self._received = b""
        self._left = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one only in shape

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, ended, body = self._received.partition(b"\r\n\r\n")
        if ended and len(body) >= _content_length(head):
            self._received = b""
            self._answer(head, body)

    def feed(self) -> bool:
        """Sends the next chunk; whether more are to come."""
        if self._transport is None:
            return False
        self._left -= 1
        self._transport.write(CHUNK if self._left else CHUNK + CLOSING)
        return self._left > 0

    def _answer(self, head: bytes, body: bytes) -> None:
        assert self._transport is not None
        if head.startswith(b"POST /v1/chat/completions") and b'"stream"' in body:
            self._stream(json.loads(body))
        elif head.startswith(b"POST /v1/chat/completions"):
            self._transport.write(CANNED)
        else:
            self._transport.write(self._listing if head.startswith(b"GET /v1/models") else MISSING)

    def _stream(self, request: dict[str, object]) -> None:
        assert self._transport is not None
        if request["stream"] is not True or self._pacer is None:
            self._transport.write(CANNED)
            return
        wanted = request.get("max_tokens", request.get("max_completion_tokens"))
        self._left = wanted if isinstance(wanted, int) else DEFAULT_CHUNKS
        self._transport.write(STREAM_HEAD)
        if self.feed():
            self._pacer.add(self)


def _content_length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if rest else 0


async def serve(port: int, rate: float, models: list[str]) -> None:
    """Serves on loopback until SIGTERM or SIGINT."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    pacer, listing = Pacer(rate) if rate else None, _response(answers.models(*models))
    server = await loop.create_server(lambda: Engine(pacer, listing), "127.0.0.1", port, backlog=BACKLOG)
    async with server:
        ticking = asyncio.create_task(pacer.run()) if pacer else None
        await stop.wait()
        if ticking:
            ticking.cancel()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
