"""The base of every fake: an aiohttp server on a free loopback port that records each request it gets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

MAX_BODY_BYTES = 64 * 1024 * 1024
SHUTDOWN_SECONDS = 0.1

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class RecordedRequest:
    """One request as the fake saw it. `body` is the parsed JSON, or None when the body was not JSON."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    body: Any
    started: float = field(default_factory=time.monotonic)
    finished: float | None = None
    cancelled: bool = False
    """The client left before the answer was complete."""
    tokens_sent: int = 0
    prompt_tokens: int = 0

    @property
    def running(self) -> bool:
        return self.finished is None


RECORD = web.RequestKey("record", RecordedRequest)


class FakeServer:
    """Use as `async with FakeX() as fake: fake.url`. Subclasses return their routes from `routes()`."""

    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self.max_in_flight = 0
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._stopping = False

    def routes(self) -> Iterable[web.RouteDef]:
        raise RuntimeError("a fake names its routes")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    @property
    def paths(self) -> list[str]:
        """The path of every request so far, in order."""
        return [record.path for record in self.requests]

    @property
    def in_flight(self) -> int:
        return sum(record.running for record in self.requests)

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listen; pass the former `port` to come back at the same address after `stop()`."""
        self._stopping = False
        app = web.Application(middlewares=[self._record], client_max_size=MAX_BODY_BYTES)
        app.add_routes(self.routes())
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Refuse new connections and cut those that are open, in the middle of their answers."""
        self._stopping = True
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    @web.middleware
    async def _record(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        raw = await request.read()
        record = RecordedRequest(request.method, request.path, dict(request.headers), raw, parse_json(raw))
        request[RECORD] = record
        self.requests.append(record)
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            return await handler(request)
        except asyncio.CancelledError:
            record.cancelled = not self._stopping
            raise
        finally:
            record.finished = time.monotonic()


def parse_json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def count_words(value: Any) -> int:
    """The fakes' tokeniser: one token per whitespace-separated word in any text inside `value`."""
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, list):
        return sum(count_words(item) for item in value)
    if isinstance(value, dict):
        return sum(count_words(value.get(key)) for key in ("content", "text", "thinking", "reasoning"))
    return 0
