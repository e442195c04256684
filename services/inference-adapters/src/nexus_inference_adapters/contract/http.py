"""Requests to backends over HTTP: no redirects, no used connection kept after a cancel, and each key to its own."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import aiohttp
import msgspec
from nexus_mesh.core import MeshError, Reason
from yarl import URL

from nexus_inference_adapters.contract.connection import FAILURES, MAX_ANSWER_BYTES, Answer, Wait, translated
from nexus_inference_adapters.contract.errors import from_answer, malformed
from nexus_inference_adapters.contract.patience import Patience
from nexus_inference_adapters.contract.work import Json, JsonObject

__all__ = ["Http", "Seen", "key_in"]

T = TypeVar("T")

MAX_ERROR_BYTES = 64 * 1024
PIECE = 256 * 1024
LOOK_SECONDS = 5.0
JSON_HEADERS = {"Content-Type": "application/json"}
KEY = re.compile(r"[!-~]*")
NO_HEADERS: dict[str, str] = {}


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


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look showed. `body` is the parsed JSON, None when it is none."""

    status: int
    body: Json
    headers: Mapping[str, str]

    def dig(self, *keys: str) -> Json:
        """The value under nested keys, None where any is missing."""
        value = self.body
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def rows(self, key: str) -> list[JsonObject]:
        """The objects in the list under `key`."""
        value = self.dig(key)
        return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


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

    async def look(self, method: str, path: str, body: JsonObject | None = None) -> Seen:
        """Asks a small question about the backend.

        Raises BACKEND_DOWN, BACKEND_LOST, STREAM_IDLE_TIMEOUT, RESPONSE_TOO_LARGE.
        """
        data = None if body is None else msgspec.json.encode(body)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
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
        self, method: str, path: str, data: bytes | None, wait: Wait, connect: float, *, keep: bool = True
    ) -> Answer:
        headers = JSON_HEADERS if data is not None else NO_HEADERS
        if key := self._key():
            headers = {**headers, "Authorization": f"Bearer {key}"}
        if not keep:
            headers = {**headers, "Connection": "close"}
        if data is not None and len(data) > PIECE:
            headers = {**headers, "Content-Length": str(len(data))}
        sending = self._session.request(
            method,
            _url(self.url, path),
            data=data if data is None or len(data) <= PIECE else _pieces(data),
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


async def _pieces(data: bytes) -> AsyncIterator[memoryview]:
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
