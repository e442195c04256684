"""Requests to backends over HTTP and the connections they take: each key to its own, and nothing without a bound.

A request follows no redirect, and leaves no used connection behind when it is given up. `100 Continue` and its like are
answers of HTTP that are no answers. A backend may send a few, never a flood: the library under us reads on for as long
as they come, without once giving way to anybody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import Protocol, TypeVar

import aiohttp
import msgspec
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.streams import StreamReader
from nexus_mesh.core import MeshError, Reason
from yarl import URL

from nexus_inference_adapters.contract.errors import FAILURES, from_answer, malformed, too_large, translated
from nexus_inference_adapters.contract.waiting import Patience
from nexus_inference_adapters.contract.work import JsonObject, Seen

__all__ = ["MAX_ANSWER_BYTES", "Answer", "Http", "Wait", "connector", "key_in", "open_session"]

T = TypeVar("T")

MAX_ERROR_BYTES = 64 * 1024
PIECE = 256 * 1024
LOOK_SECONDS = 5.0
HEARTBEAT_SECONDS = 10.0
JSON_HEADERS = {"Content-Type": "application/json"}
KEY = re.compile(r"[!-~]*")
NO_HEADERS: dict[str, str] = {}

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


class Wait(Protocol):
    """Patience.wait, or the like of it."""

    async def __call__(self, awaitable: Awaitable[T], /) -> T: ...


def open_session() -> aiohttp.ClientSession:
    """The session all backends of a process share. No cookies, no proxies, no automatic decompression, no redirect."""
    never = aiohttp.TraceConfig()
    never.on_request_redirect.append(_refuse_redirect)
    return aiohttp.ClientSession(
        connector=connector(KEEP_ALIVE_SECONDS),
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        headers=HEADERS,
        trace_configs=[never],
    )


async def _refuse_redirect(*_: object) -> None:
    """Requests say themselves that they follow none; the opening of a WebSocket cannot."""
    raise BadHttpMessage("a redirect")


class Answer:
    """A response whose head has arrived. Read it whole, or part by part until a part is empty; then close it."""

    def __init__(self, response: aiohttp.ClientResponse, wait: Wait) -> None:
        self._response = response
        self._content = response.content
        self._wait = wait
        self._rest = memoryview(b"")
        self.status = response.status
        self.headers = response.headers
        self.tells_its_end = response.content_length is not None or "chunked" in response.headers.get(
            "Transfer-Encoding", ""
        )
        """Whether a body that was cut can be told from one that ended."""

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


async def _at_leisure(awaitable: Awaitable[T], /) -> T:
    return await awaitable


@lru_cache(maxsize=1024)
def _url(base: str, path: str) -> URL:
    return URL(base + path)


@lru_cache(maxsize=64)
def _timeout(connect: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=connect)


def key_in(variable: str | None) -> str | None:
    """The key in a variable of the environment, read anew each time so that nothing else holds it.

    A line end, as files and `echo` leave one, is no part of it. Raises UPSTREAM_ERROR for what can be no key.
    """
    key = os.environ.get(variable, "").strip() if variable else ""
    if not KEY.fullmatch(key):
        raise MeshError(
            Reason.UPSTREAM_ERROR,
            f"The key in {variable} has a space, a line end or a letter that no key can have: "
            "set the variable to the key alone, and start NEXUS again.",
        )
    return key or None


class Http:
    """The requests of one backend. Its key goes out to its configured address only, and is attached here, last."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        key: Callable[[], str | None],
        connect: float = 2.0,
        most: int = MAX_ANSWER_BYTES,
    ) -> None:
        """`most`: bytes of an answer to a look."""
        self._session = session
        self._key = key
        self._connect = connect
        self._most = most
        self.url = url

    def at(self, url: str, key: Callable[[], str | None]) -> Http:
        """The same, towards another address with another key."""
        return Http(self._session, url, key, self._connect, self._most)

    @asynccontextmanager
    async def post(self, path: str, body: JsonObject, patience: Patience) -> AsyncIterator[Answer]:
        """As `send`, and closes the answer."""
        answer = await self.send(path, body, patience)
        try:
            yield answer
        finally:
            answer.close()

    async def send(self, path: str, body: JsonObject, patience: Patience, *, keep: bool = True) -> Answer:
        """Sends `body` as JSON. An answer of status 200; any other raises what `from_answer` makes of it.

        `keep`: whether the connection may be used again. Whoever calls closes the answer.
        """
        # Named nowhere here: whoever sends it lets go of it.
        answer = await self._request(
            "POST", path, msgspec.json.encode(body), patience.wait, patience.limits.connect, keep=keep
        )
        if answer.status == 200 and answer.headers.get("Content-Encoding", "identity") == "identity":
            return answer
        try:
            raise await _refusal(answer)
        finally:
            answer.close()

    @asynccontextmanager
    async def get(self, path: str, patience: Patience) -> AsyncIterator[Answer]:
        """As `post`, of what is to be read."""
        answer = await self._request("GET", path, None, patience.wait, patience.limits.connect)
        try:
            if answer.status != 200 or answer.headers.get("Content-Encoding", "identity") != "identity":
                raise await _refusal(answer)
            yield answer
        finally:
            answer.close()

    async def socket(self, path: str, patience: Patience) -> aiohttp.ClientWebSocketResponse:
        """A WebSocket whose other end is heard of every few seconds. Whoever calls closes it.

        Raises BACKEND_DOWN, BACKEND_LOST, and what a refusal means.
        """
        headers = {"Authorization": f"Bearer {key}"} if (key := self._key()) else NO_HEADERS
        opening = self._session.ws_connect(
            _url(self.url, path),
            headers=headers,
            heartbeat=HEARTBEAT_SECONDS,
            max_msg_size=self._most,
        )
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await patience.wait(opening)
        except TimeoutError:
            raise MeshError(Reason.BACKEND_DOWN, "The backend did not open a WebSocket in time.") from None
        except aiohttp.WSServerHandshakeError as error:
            raise from_answer(
                error.status if error.status >= 300 else 500, error.headers or {}, b""
            ) from None
        except FAILURES as error:
            raise translated(error) from None

    async def upload(
        self, path: str, body: AsyncIterator[bytes], content_type: str, patience: Patience
    ) -> Answer:
        """As `send`, with a body that is made while it is sent. What breaks off in the middle of it breaks the request
        off, and is raised as it was."""
        broken: list[MeshError] = []

        async def sent() -> AsyncIterator[bytes | memoryview]:
            try:
                async for piece in body:
                    yield piece
            except MeshError as error:
                broken.append(error)
                raise

        headers = {"Content-Type": content_type}
        try:
            answer = await self._request(
                "POST", path, sent(), patience.wait, patience.limits.connect, keep=False, headers=headers
            )
        except MeshError:
            if broken:
                raise broken[0] from None
            raise
        if answer.status == 200 and answer.headers.get("Content-Encoding", "identity") == "identity":
            return answer
        try:
            raise await _refusal(answer)
        finally:
            answer.close()

    async def look(
        self, method: str, path: str, body: JsonObject | None = None, *, seconds: float = LOOK_SECONDS
    ) -> Seen:
        """Asks a small question about the backend, to be answered in so many seconds.

        Raises BACKEND_DOWN, BACKEND_LOST, STREAM_IDLE_TIMEOUT, RESPONSE_TOO_LARGE.
        """
        data = None if body is None else msgspec.json.encode(body)
        try:
            async with asyncio.timeout(seconds):
                answer = await self._request(method, path, data, _at_leisure, self._connect)
                try:
                    raw = await answer.read(self._most)
                finally:
                    answer.close()
        except TimeoutError:
            raise MeshError(
                Reason.STREAM_IDLE_TIMEOUT, f"The backend did not answer {path} in time."
            ) from None
        try:
            parsed = msgspec.json.decode(raw)
        except (ValueError, RecursionError):
            parsed = None
        return Seen(answer.status, parsed, answer.headers)

    async def _request(
        self,
        method: str,
        path: str,
        data: bytes | AsyncIterator[bytes | memoryview] | None,
        wait: Wait,
        connect: float,
        *,
        keep: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        headers = headers or (JSON_HEADERS if data is not None else NO_HEADERS)
        if key := self._key():
            headers = {**headers, "Authorization": f"Bearer {key}"}
        if not keep:
            headers = {**headers, "Connection": "close"}
        if isinstance(data, bytes) and len(data) > PIECE:
            headers = {**headers, "Content-Length": str(len(data))}
            data = _pieces(data)
        sending = self._session.request(
            method,
            _url(self.url, path),
            data=data,
            headers=headers,
            allow_redirects=False,
            timeout=_timeout(connect),
        )
        del data
        try:
            response = await wait(sending)
        except FAILURES as error:
            raise translated(error) from None
        return Answer(response, wait)


async def _pieces(data: bytes) -> AsyncIterator[bytes | memoryview]:
    """Written at once, a large body is copied whole."""
    view = memoryview(data)
    for start in range(0, len(view), PIECE):
        yield view[start : start + PIECE]


async def _refusal(answer: Answer) -> MeshError:
    if answer.status == 200:
        return malformed("The backend compressed its answer though it was asked not to.")
    return from_answer(answer.status, answer.headers, await _read_error(answer))


async def _read_error(answer: Answer) -> bytes:
    try:
        return await answer.read(MAX_ERROR_BYTES)
    except MeshError:
        return b""
