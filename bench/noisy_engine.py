"""An engine that takes 0.2 s for an answer and fails on poison: python -m bench.noisy_engine PORT MODEL..."""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop

from bench import answers

SECONDS = 0.2
LIMIT = 64 * 1024


def _response(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


FAILED = _response(
    b'{"error":{"message":"CUDA error: an illegal memory access","type":"server_error"}}', "500 Error"
)
MISSING = _response(b"{}", "404 Not Found")


async def serve(port: int, models: list[str]) -> None:
    """Serves on loopback until SIGTERM or SIGINT."""
    listing = _response(answers.models(*models))

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size, poisoned = await _read(reader, head)
                if head.startswith(b"POST /v1/chat/completions"):
                    await asyncio.sleep(SECONDS)
                    writer.write(FAILED if poisoned else _response(answers.canned(prompt_tokens=size // 4)))
                else:
                    writer.write(listing if head.startswith(b"GET /v1/models") else MISSING)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with await asyncio.start_server(client, "127.0.0.1", port, limit=LIMIT, backlog=1024):
        await stop.wait()


async def _read(reader: asyncio.StreamReader, head: bytes) -> tuple[int, bool]:
    """Takes a body in; its size, and whether there is poison in it."""
    _, _, rest = head.lower().partition(b"\r\ncontent-length:")
    size, poisoned = int(rest.partition(b"\r\n")[0]) if rest else 0, False
    left = size
    while left:
        piece = await reader.readexactly(min(left, LIMIT))
        left -= len(piece)
        poisoned = poisoned or b"poison" in piece
    return size, poisoned


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2:]))
