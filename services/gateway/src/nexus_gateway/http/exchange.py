"""One HTTP request and its answer, straight on ASGI: no request or response objects on the hot path."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from nexus_mesh.core import new_request_id
from starlette.types import Receive, Scope, Send

from nexus_gateway.access import Principal
from nexus_gateway.http.status import EdgeError, Failure, Header
from nexus_gateway.intake import Hold

OPENAI_VERSION = (b"openai-version", b"2020-10-01")
JSON = b"application/json"
Tail = Callable[[Failure], bytes]
KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
"""The last event of a good stream, to whoever speaks as OpenAI does."""
CLIENT_LEFT = "nexus.client_left"
"""Key the server sets in the scope when the connection is gone before the answer was complete."""


class Exchange:
    """Reads the body once, answers once. Every answer carries the request's id and our processing time."""

    __slots__ = (
        "_receive",
        "_send",
        "always",
        "fields",
        "handed_on",
        "hold",
        "principal",
        "request_id",
        "scope",
        "started",
        "status",
        "tail",
        "written_at",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self.fields: dict[bytes, bytes] = dict(scope["headers"])
        self.request_id = new_request_id()
        self.started = time.perf_counter()
        self.principal: Principal | None = None
        self.handed_on = False
        """Whether the pipeline has the request, and so counts how it ends."""
        self.hold: Hold | None = None
        """The bytes of its body that are accounted for."""
        self.always: tuple[Header, ...] = ()
        """Headers of whatever is answered: what a browser must be told."""
        self.written_at = 0.0
        """When the last byte of a stream was written, on the loop's clock."""
        self.status = 0
        """0 until the answer's head is sent."""
        self.tail: Tail | None = None
        """Set while a stream is under way: makes the bytes that end it after a failure."""

    @property
    def client_left(self) -> bool:
        return CLIENT_LEFT in self.scope

    @property
    def credential(self) -> str | None:
        """The bearer text, or None when there is none."""
        scheme, _, text = self.fields.get(b"authorization", b"").partition(b" ")
        return text.strip().decode("latin-1") or None if scheme.lower() == b"bearer" else None

    @property
    def caller(self) -> Principal:
        """Who calls; only a public URL's handler has nobody."""
        assert self.principal is not None  # noqa: S101 - the endpoint has asked
        return self.principal

    @property
    def may_see_all(self) -> bool:
        """Whether who asks may know of what it cannot use: backends, hosts, zones and rules. Default deny."""
        return self.principal is not None and self.principal.manage

    @property
    def address(self) -> str:
        """Where the connection comes from."""
        client = self.scope.get("client")
        return client[0] if client else ""

    async def body(self) -> bytes | bytearray:
        """The whole body; the server has bounded its size and time. MeshError when there is no room for it."""
        hold, read = self.hold, bytearray()
        if hold is not None:
            await hold.reach(int(self.fields.get(b"content-length", b"0")))
        while True:
            message = await self._receive()
            piece: bytes = message.get("body", b"")
            if hold is not None:
                await hold.reach(len(read) + len(piece))
            if not message.get("more_body"):
                break
            read += piece
        if not read:
            return piece
        read += piece
        return read

    async def respond(
        self, status: int, body: bytes, headers: Sequence[Header] = (), content_type: bytes = JSON
    ) -> None:
        """The whole answer."""
        length = (b"content-length", b"%d" % len(body))
        await self._start(status, [(b"content-type", content_type), length, *headers])
        await self._send({"type": "http.response.body", "body": body})

    async def respond_nothing(self, headers: Sequence[Header]) -> None:
        """204: all there is to say stands in the headers."""
        await self._start(204, [*headers])
        await self._send({"type": "http.response.body", "body": b""})

    async def start_events(self, headers: Sequence[Header], tail: Tail) -> None:
        """The head of an event stream; from here on a failure is told by `tail(error)`, not by a status."""
        self.tail = tail
        self.written_at = _loop_time()
        await self._start(200, [*_EVENT_STREAM, *headers])

    async def write(self, data: bytes) -> None:
        self.written_at = _loop_time()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes) -> None:
        self.tail = None
        await self._send({"type": "http.response.body", "body": data})

    async def _start(self, status: int, headers: list[Header]) -> None:
        self.status = status
        headers += (
            (b"x-request-id", self.request_id.encode()),
            (b"openai-processing-ms", b"%d" % ((time.perf_counter() - self.started) * 1000)),
            OPENAI_VERSION,
            *self.always,
        )
        await self._send({"type": "http.response.start", "status": status, "headers": headers})


_EVENT_STREAM: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def check_media_type(fields: dict[bytes, bytes]) -> None:
    """EdgeError unless the body is plain JSON in UTF-8."""
    if fields.get(b"content-encoding", b"identity").lower() != b"identity":
        raise EdgeError("unsupported_encoding", "Send the body uncompressed, without Content-Encoding.")
    given, _, parameters = fields.get(b"content-type", b"").lower().partition(b";")
    name, _, value = parameters.partition(b"=")
    wrong_charset = name.strip() == b"charset" and value.strip(b'" ') not in (b"utf-8", b"utf8")
    if given.strip() != b"application/json" or wrong_charset:
        raise EdgeError(
            "unsupported_media_type", "Send the body as Content-Type: application/json, in UTF-8."
        )


async def beat(exchange: Exchange, seconds: float) -> None:
    """A comment whenever nothing was written for `seconds`."""
    clock = asyncio.get_running_loop().time
    while True:
        due = exchange.written_at + seconds
        if due <= clock():
            await exchange.write(KEEP_ALIVE)
        else:
            await asyncio.sleep(due - clock())
