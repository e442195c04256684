"""Connections to backends and what comes back over them: a few interim answers, then a capped answer in pieces.

`100 Continue` and its like are answers of HTTP that are no answers. A backend may send a few, never a flood: the
library under us reads on for as long as they come, without once giving way to anybody else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from functools import partial
from typing import Protocol, TypeVar

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError
from aiohttp.streams import StreamReader
from nexus_mesh.core import UNREACHED, MeshError, Reason

from nexus_inference_adapters.contract.errors import malformed

__all__ = [
    "FAILURES",
    "MAX_ANSWER_BYTES",
    "Answer",
    "Wait",
    "connector",
    "open_session",
    "too_large",
    "translated",
]

T = TypeVar("T")

MAX_ANSWER_BYTES = 15 * 1024 * 1024
PIECE_BYTES = 16 * 1024
# Below the 5 s after which llama.cpp and uvicorn close idle connections, so that we never write into a closing one.
KEEP_ALIVE_SECONDS = 4.0
DRAIN_SECONDS = 0.1
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "nexus"}
MOST_INTERIM = 16
"""Interim answers before one that counts."""
SLICE = 4096
"""Bytes of a head that are looked at together: so much is read of a flood, and no more."""

CONNECTING = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
BROKEN = (aiohttp.ClientResponseError, HttpProcessingError)
FAILURES = (aiohttp.ClientError, HttpProcessingError, OSError)


class Wait(Protocol):
    """Patience.wait, or the like of it."""

    async def __call__(self, awaitable: Awaitable[T], /) -> T: ...


def open_session() -> aiohttp.ClientSession:
    """The session all backends of a process share. No cookies, no proxies, no automatic decompression."""
    return aiohttp.ClientSession(
        connector=connector(KEEP_ALIVE_SECONDS),
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        headers=HEADERS,
    )


def translated(error: BaseException) -> MeshError:
    """What a failure of the connection means."""
    if isinstance(error, CONNECTING):
        return MeshError(
            Reason.BACKEND_DOWN,
            "The backend could not be reached; is it running at its address?",
            metadata={UNREACHED: "1"},
        )
    if isinstance(error, BROKEN):
        return malformed("The backend's answer is not HTTP.")
    return MeshError(Reason.BACKEND_LOST, "The backend closed the connection before its answer was complete.")


def too_large(limit: int) -> MeshError:
    return MeshError(Reason.RESPONSE_TOO_LARGE, f"The backend's answer is larger than {limit} bytes.")


class Answer:
    """A response whose head has arrived. Read it whole, or part by part until a part is empty; then close it."""

    def __init__(self, response: aiohttp.ClientResponse, wait: Wait) -> None:
        self._response = response
        self._content = response.content
        self._wait = wait
        self._rest = memoryview(b"")
        self.status = response.status
        self.headers = response.headers

    async def read(self, limit: int = MAX_ANSWER_BYTES) -> bytes:
        """The whole body. Raises RESPONSE_TOO_LARGE, BACKEND_LOST."""
        parts: list[bytes] = []
        size = 0
        while part := await self._arrived():
            size += len(part)
            if size > limit:
                raise too_large(limit)
            parts.append(part)
        return b"".join(parts)

    async def part(self) -> bytes:
        """What has arrived since the last part; empty at the end. Raises BACKEND_LOST when the body is cut.

        Of much that came together a piece at a time, and between pieces others have their turn.
        """
        if self._rest:
            await self._wait(asyncio.sleep(0))
            return self._piece(self._rest)
        arrived = await self._arrived()
        return arrived if len(arrived) <= PIECE_BYTES else self._piece(memoryview(arrived))

    def _piece(self, arrived: memoryview) -> bytes:
        self._rest = arrived[PIECE_BYTES:]
        return bytes(arrived[:PIECE_BYTES])

    async def _arrived(self) -> bytes:
        try:
            return await self._wait(self._content.readany())
        except FAILURES as error:
            # The library tells of the loss before it hands out what came with it; its public calls never do.
            if rest := self._content._read_nowait(-1):
                return rest
            raise translated(error) from None

    def close(self) -> None:
        """A connection that was read to its end has gone back by itself; any other must never be used again."""
        self._response.close()

    async def drain(self) -> None:
        """Lets a finished stream end by itself for a moment, so that its connection can be used again."""
        with contextlib.suppress(TimeoutError, *FAILURES):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._content.readany()


class _Bounded(ResponseHandler):
    """A connection that breaks off when more interim answers come on it than anybody sends."""

    _interim = 0

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        if not 100 <= data[0].code < 200 or data[0].code == 101:
            self._interim = 0
        else:
            self._interim += 1
        if self._interim <= MOST_INTERIM:
            super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        at = 0
        while at < len(data) and not self._answering():
            super().data_received(data[at : at + SLICE])
            at += SLICE
            if self._interim > MOST_INTERIM:
                self._break_off()
                return
        if at < len(data) or not data:
            # Nothing at all is how the library asks itself for what it put aside.
            super().data_received(data[at:] if at else data)

    def _answering(self) -> bool:
        """Whether the head of the real answer is here, so that what follows is its body."""
        return self._payload is not None and not self._payload.is_eof()

    def _break_off(self) -> None:
        if self.transport is not None:
            self.transport.abort()
        self.set_exception(BadHttpMessage("too many interim answers"))


def connector(keepalive: float) -> aiohttp.TCPConnector:
    """Connections to backends. How many there are at once is bounded by the places of each backend."""
    made = aiohttp.TCPConnector(limit=0, keepalive_timeout=keepalive)
    factory: partial[ResponseHandler] = partial(_Bounded, loop=asyncio.get_running_loop())
    made._factory = factory  # the library has no other way to choose the class of its connections
    return made
