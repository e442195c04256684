"""A tenant that does all it can against the others: bench.noise KIND HOST PORT SECONDS MODEL, its key on stdin.

KIND: bodies (8 of 16 MB at once, again and again), idle (4,200 connections that only stand there), poison (prompts that
make the engine fail), flood (wrong keys and wrong requests, a log line each, if it went by the sender). Prints what it
was answered, as JSON. It runs at a low priority: on a machine of its own, as others' clients are, it would take none of
the CPU of the mesh.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import uvloop

__all__ = ["KINDS"]

BODIES = 8
BODY_BYTES = 16 * 1024 * 1024
IDLE = 4_200
AGAIN_SECONDS = 5
POISON_PER_SECOND = 20
FLOOD_PER_SECOND = 100

Seen = Counter[str]


class Target:
    """The endpoint under attack, and until when."""

    def __init__(self, host: str, port: int, seconds: float, model: str, key: str) -> None:
        self.host, self.port, self.model, self.key = host, port, model, key
        self.until = time.monotonic() + seconds

    @property
    def is_on(self) -> bool:
        return time.monotonic() < self.until

    def request(self, body: bytes, key: str | None = None) -> bytes:
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Authorization: Bearer {key or self.key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body

    def prompt(self, text: str) -> bytes:
        return json.dumps({"model": self.model, "messages": [{"role": "user", "content": text}]}).encode()

    async def ask(self, data: bytes, seen: Seen) -> None:
        """Sends a request on a connection of its own and notes its status."""
        writer = None
        try:
            async with asyncio.timeout(60):
                reader, writer = await asyncio.open_connection(self.host, self.port)
                sending = asyncio.create_task(_send(writer, data))
                line = await reader.readline()
                seen[line.split(b" ")[1].decode() if line else "closed"] += 1
                await reader.read()
                sending.cancel()
        except (OSError, TimeoutError) as error:
            seen[type(error).__name__] += 1
        finally:
            if writer is not None:
                writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(OSError):
        writer.write(data)
        await writer.drain()


async def bodies(target: Target, seen: Seen) -> None:
    frame = len(target.prompt(""))
    data = target.request(target.prompt("lorem ipsum " * ((BODY_BYTES - frame) // 12)))

    async def again() -> None:
        while target.is_on:
            await target.ask(data, seen)

    await asyncio.gather(*(again() for _ in range(BODIES)))


async def idle(target: Target, seen: Seen) -> None:
    """Each shows a wrong key once, then stands there; one that is closed is opened again."""

    async def stand(number: int) -> None:
        await asyncio.sleep(number / IDLE)
        while target.is_on:
            writer = None
            try:
                reader, writer = await asyncio.open_connection(target.host, target.port)
                if number % 2:
                    writer.write(target.request(b"{}", key="wrong").replace(b"Connection: close\r\n", b""))
                async with asyncio.timeout(max(0.0, target.until - time.monotonic())):
                    while await reader.read(4096):
                        pass
                seen["closed"] += 1
                await asyncio.sleep(AGAIN_SECONDS)
            except (OSError, TimeoutError):
                seen["open or refused"] += 1
                await asyncio.sleep(AGAIN_SECONDS)
            finally:
                if writer is not None:
                    writer.transport.abort()

    await asyncio.gather(*(stand(number) for number in range(IDLE)))


async def poison(target: Target, seen: Seen) -> None:
    await _steadily(
        target, POISON_PER_SECOND, lambda: target.ask(target.request(target.prompt("poison")), seen)
    )


async def flood(target: Target, seen: Seen) -> None:
    wrong_key = target.request(target.prompt("hi"), key="nx_wrong")
    wrong_body = target.request(b'{"model": 5}')
    turns = [wrong_key, wrong_body]

    async def next_one() -> None:
        turns.append(turns.pop(0))
        await target.ask(turns[0], seen)

    await _steadily(target, FLOOD_PER_SECOND, next_one)


async def _steadily(target: Target, rate: float, act: Callable[[], Awaitable[None]]) -> None:
    began, sent = time.monotonic(), 0
    running: set[asyncio.Future[None]] = set()
    while target.is_on:
        while sent < (time.monotonic() - began) * rate:
            sent += 1
            task = asyncio.ensure_future(act())
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.sleep(0.01)
    await asyncio.gather(*running)


KINDS: dict[str, Callable[[Target, Seen], Awaitable[None]]] = {
    "bodies": bodies,
    "idle": idle,
    "flood": flood,
    "poison": poison,
}


async def main(kind: str, host: str, port: str, seconds: str, model: str) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    seen: Seen = Counter()
    target = Target(host, int(port), float(seconds), model, sys.stdin.readline().strip())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(float(seconds) + 10):
            await KINDS[kind](target, seen)
    print(json.dumps(seen))


if __name__ == "__main__":
    os.nice(10)
    uvloop.run(main(*sys.argv[1:]))
