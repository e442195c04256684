"""HTTP/1.1 as a load generator needs it: raw protocols, prepared requests, no work beyond counting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from bench.answers import MARK

__all__ = ["Calls", "Endpoint", "StreamReader", "StreamResult", "closed_loop", "request"]

GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go, and the headers they carry."""

    host: str
    port: int
    path: str = "/v1/chat/completions"
    headers: tuple[tuple[str, str], ...] = ()


def request(endpoint: Endpoint, body: bytes | None, method: str = "POST") -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {endpoint.path} HTTP/1.1", f"Host: {endpoint.host}:{endpoint.port}"]
    lines += [f"{name}: {value}" for name, value in endpoint.headers]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


@dataclass(slots=True)
class Calls:
    """What a closed loop saw. Latencies in nanoseconds, of successful calls only."""

    seconds: float = 0.0
    latencies: list[int] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)

    def fail(self, what: str) -> None:
        self.errors[what] = self.errors.get(what, 0) + 1


class _Caller(asyncio.Protocol):
    """Sends the same request again as soon as it is answered, until told to stop."""

    def __init__(self, data: bytes, calls: Calls, more: Callable[[], bool], done: Callable[[], None]) -> None:
        self._data = data
        self._calls = calls
        self._more = more
        self._done = done
        self._received = b""
        self._began = 0
        self._transport: asyncio.Transport | None = None
        self._finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one only in shape
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self._finished:
            self._calls.fail("connection lost")
        self._finish()

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        if not _is_whole(self._received):
            return
        if self._received.startswith(b"HTTP/1.1 200"):
            self._calls.latencies.append(time.monotonic_ns() - self._began)
        else:
            self._calls.fail(f"status {self._received[9:12].decode('latin-1')}")
        self._received = b""
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        if not self._more():
            self._finish()
            self._transport.close()
            return
        self._began = time.monotonic_ns()
        self._transport.write(self._data)

    def close(self) -> None:
        self._finished = True
        if self._transport is not None:
            self._transport.close()

    def _finish(self) -> None:
        if not self._finished:
            self._finished = True
            self._done()


def _is_whole(answer: bytes) -> bool:
    head_end = answer.find(b"\r\n\r\n")
    if head_end < 0:
        return False
    head = answer[:head_end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        return answer.endswith(b"0\r\n\r\n")
    length = head[at + 17 :].partition(b"\r\n")[0]
    return len(answer) >= head_end + 4 + int(length)


async def closed_loop(
    endpoint: Endpoint, body: bytes | None, *, connections: int, seconds: float, limit: int | None = None
) -> Calls:
    """Calls over `connections` kept-alive connections for `seconds`, or until `limit` calls were begun; GET without a
    body.
    """
    loop, calls, finished = asyncio.get_running_loop(), Calls(), asyncio.Event()
    left, running = limit if limit is not None else 1 << 62, connections
    began = time.monotonic()

    def more() -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and time.monotonic() - began < seconds

    def done() -> None:
        nonlocal running
        running -= 1
        if not running:
            finished.set()

    data, callers = request(endpoint, body, "GET" if body is None else "POST"), []
    try:
        async with asyncio.timeout(seconds + GRACE_SECONDS):
            for _ in range(connections):
                _, caller = await loop.create_connection(
                    lambda: _Caller(data, calls, more, done), endpoint.host, endpoint.port
                )
                callers.append(caller)
            await finished.wait()
    except TimeoutError:
        calls.fail("no answer in time")
    except OSError:
        calls.fail("cannot connect")
    finally:
        for caller in callers:
            caller.close()
    calls.seconds = time.monotonic() - began
    return calls


@dataclass(slots=True)
class StreamResult:
    """What one stream brought. Times in monotonic nanoseconds, 0 = never."""

    expected: int
    began: int = 0
    first: int = 0
    last: int = 0
    chunks: int = 0
    error: str = ""

    @property
    def complete(self) -> bool:
        return not self.error and self.chunks == self.expected


class StreamReader(asyncio.Protocol):
    """One request for a stream, its chunks counted by their mark; `done` is set when it has ended, well or not."""

    def __init__(self, data: bytes, result: StreamResult) -> None:
        self._data = data
        self._result = result
        self._tail = b""
        self._head = b""
        self._ended = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._result.began = time.monotonic_ns()
        self.transport.write(self._data)

    def data_received(self, data: bytes) -> None:
        if not self._head:
            self._head = data[:12]
            if not data.startswith(b"HTTP/1.1 200"):
                self._end(f"status {data[9:12].decode('latin-1')}")
                return
        seen = self._tail + data
        if found := seen.count(MARK):
            self._result.last = time.monotonic_ns()
            self._result.first = self._result.first or self._result.last
            self._result.chunks += found
        self._ended = self._ended or b"[DONE]" in seen
        # Shorter than the mark and than [DONE], so that nothing is counted twice and nothing cut in two is missed.
        self._tail = seen[-(len(MARK) - 1) :]
        if self._ended and seen.endswith(b"\r\n\r\n"):
            self._end("" if self._result.chunks == self._result.expected else "chunks missing")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        whole = self._ended and self._result.chunks == self._result.expected
        self._end("" if whole else "connection lost")

    def abandon(self) -> None:
        """Closes a stream that did not end in time."""
        self._end("not finished in time")

    def _end(self, error: str) -> None:
        if not self.done.done():
            self._result.error = error
            self.done.set_result(None)
        if self.transport is not None:
            self.transport.close()
