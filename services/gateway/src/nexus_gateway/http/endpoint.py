"""The way of every request through the edge, straight on ASGI: host, origin, method, authentication, handler, answer;
and of failures back. No request or response objects on the hot path."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import lru_cache

from nexus_mesh.core import MeshError, Reason, logger, new_request_id, set_request_id
from prometheus_client import Counter, Histogram
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from nexus_gateway.access import Principal
from nexus_gateway.http.heads import HostGuard, Origins, is_form
from nexus_gateway.http.rows import Handler, Row
from nexus_gateway.http.status import EdgeError, Failure, Header, SayError, code_of, status_of
from nexus_gateway.http.strangers import Strangers
from nexus_gateway.intake import BodyBudget, Hold

__all__ = [
    "CLIENT_LEFT",
    "CUT",
    "DONE",
    "JSON",
    "OPENAI_VERSION",
    "Authenticate",
    "Endpoint",
    "Exchange",
    "SlashRouter",
    "beat",
]

OPENAI_VERSION = (b"openai-version", b"2020-10-01")
JSON = b"application/json"
Tail = Callable[[Failure], bytes]
KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
"""The last event of a good stream, to whoever speaks as OpenAI does."""
CLIENT_LEFT = "nexus.client_left"
"""Key the server sets in the scope when the connection is gone before the answer was complete."""
CUT = "nexus.cut"
"""Key in the scope of what breaks an answer off, so that no client takes it for a whole one."""


class Exchange:
    """Reads the body once, answers once. Every answer carries the request's id and our processing time."""

    __slots__ = (
        "_receive",
        "_send",
        "always",
        "breakable",
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
        self.breakable = False
        """Whether bytes are under way whose end only the end of the answer tells."""
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
    def held(self) -> Hold:
        """What its body takes of the room for bodies."""
        assert self.hold is not None  # noqa: S101 - the endpoint has opened it
        return self.hold

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
        """The whole body; the server has bounded its size and time. MeshError when there is no room for it.

        EdgeError for a form: those may be larger than what is read whole.
        """
        if is_form(self.fields.get(b"content-type", b"")):
            raise EdgeError("unsupported_media_type", "This URL takes no form.")
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

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes; who is slow to take it holds its sender back."""
        while True:
            message = await self._receive()
            if piece := message.get("body", b""):
                yield piece
            if not message.get("more_body"):
                return

    async def respond(
        self, status: int, body: bytes, headers: Sequence[Header] = (), content_type: bytes = JSON
    ) -> None:
        """The whole answer."""
        length = (b"content-length", b"%d" % len(body))
        await self._start(status, [(b"content-type", content_type), length, *headers])
        await self._send({"type": "http.response.body", "body": body})

    async def respond_nothing(self, headers: Sequence[Header], status: int = 204) -> None:
        """204, or 304: all there is to say stands in the headers."""
        await self._start(status, [*headers])
        await self._send({"type": "http.response.body", "body": b""})

    async def start_events(self, headers: Sequence[Header], tail: Tail) -> None:
        """The head of an event stream; from here on a failure is told by `tail(error)`, not by a status."""
        self.tail = tail
        self.written_at = _loop_time()
        await self._start(200, [*_EVENT_STREAM, *headers])

    async def start_bytes(self, content_type: bytes, headers: Sequence[Header]) -> None:
        """The head of an answer whose length nobody knows yet; from here on a failure breaks it off."""
        self.breakable = True
        await self._start(200, [(b"content-type", content_type), *_UNKEPT, *headers])

    async def start_file(self, status: int, content_type: bytes, headers: Sequence[Header]) -> None:
        """The head of an answer whose length is in `headers`; from here on a failure breaks it off."""
        self.breakable = True
        await self._start(status, [(b"content-type", content_type), *headers])

    def cut(self) -> None:
        """Ends the connection in the middle of an answer."""
        if (cut := self.scope.get(CUT)) is not None:
            cut()

    async def write(self, data: bytes) -> None:
        self.written_at = _loop_time()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes) -> None:
        self.tail, self.breakable = None, False
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


_UNKEPT: tuple[Header, ...] = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
_EVENT_STREAM: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    *_UNKEPT,
)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


async def beat(exchange: Exchange, seconds: float) -> None:
    """A comment whenever nothing was written for `seconds`."""
    clock = asyncio.get_running_loop().time
    while True:
        due = exchange.written_at + seconds
        if due <= clock():
            await exchange.write(KEEP_ALIVE)
        else:
            await asyncio.sleep(due - clock())


Authenticate = Callable[[str | None], Awaitable[Principal]]

log = logger("gateway.http")

_REQUESTS = Counter(
    "nexus_gateway_http_requests_total",
    "Requests answered; status 499 = the client left first.",
    ["route", "status"],
)
_SECONDS = Histogram(
    "nexus_gateway_http_request_seconds",
    "From the request's head to the end of its answer.",
    ["route"],
    buckets=(0.005, 0.02, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800),
)
_FAILED_STREAMS = Counter(
    "nexus_gateway_http_streams_failed_total",
    "Answers that failed after their beginning: with an error event, or cut off.",
    ["code"],
)

# Looking a child up costs more than counting in it; routes and statuses are few.
_requests = lru_cache(maxsize=512)(_REQUESTS.labels)
_seconds = lru_cache(maxsize=64)(_SECONDS.labels)

CLIENT_CLOSED = 499
SLASHES = re.compile("/{2,}")
_DRAINING = MeshError(
    Reason.DRAINING, "This gateway is shutting down. Send the request again.", retry_after=1
)


class Endpoint:
    """One row of the route table as an ASGI application; `say_error` is its dialect's."""

    def __init__(
        self,
        row: Row,
        say_error: SayError,
        *,
        guard: HostGuard,
        origins: Origins,
        bodies: BodyBudget,
        strangers: Strangers,
        authenticate: Authenticate,
    ) -> None:
        self.row = row
        self._say_error = say_error
        self._guard = guard
        self._origins = origins
        self._bodies = bodies
        self._strangers = strangers
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        set_request_id(exchange.request_id)
        try:
            self._guard.check(exchange.fields)
            exchange.always = self._origins.admit(exchange.fields)
            if scope["method"] == "OPTIONS" and (told := self._preflight(exchange)) is not None:
                await exchange.respond_nothing(told)
                return
            handler = self._handler(scope["method"])
            if not self.row.public:
                try:
                    exchange.principal = await self._authenticate(exchange.credential)
                except MeshError as error:
                    self._strangers.count(error, exchange.credential, exchange.address)
                    raise
            exchange.hold = Hold(self._bodies, _owner(exchange))
            await handler(exchange)
        except (MeshError, EdgeError) as error:
            if self.row.refused is not None and not exchange.handed_on and isinstance(error, MeshError):
                self.row.refused(error)
            await self._fail(exchange, error)
        except asyncio.CancelledError:
            # This task serves one request and is cancelled for one of two reasons: the client has gone, and
            # nobody reads what we say; or the grace of a shutdown is over, and the client must hear of it.
            await self._fail(exchange, _DRAINING)
        except Exception:
            log.exception("request failed", route=self.row.name)
            await self._fail(exchange, _internal(exchange.request_id))
        finally:
            if exchange.hold is not None:
                exchange.hold.release()
            status = CLIENT_CLOSED if exchange.client_left else exchange.status
            _requests(self.row.name, status).inc()
            _seconds(self.row.name).observe(time.perf_counter() - exchange.started)

    def _preflight(self, exchange: Exchange) -> list[Header] | None:
        return self._origins.preflight(exchange.fields, self.row.handlers)

    def _handler(self, method: str) -> Handler:
        handler = self.row.handlers.get(method)
        if handler is None:
            allow = ", ".join(self.row.handlers)
            message = f"This URL does not take {method[:16]}. Use {allow}."
            raise EdgeError("method_not_allowed", message, [(b"allow", allow.encode())])
        return handler

    async def _fail(self, exchange: Exchange, error: Failure) -> None:
        """Tells the client: by a status while that is possible, else by the stream's last event."""
        if exchange.client_left:
            return
        if exchange.status == 0:
            status, headers = status_of(error)
            if exchange.principal is None and status in (401, 429):
                headers.append((b"connection", b"close"))  # strangers do not keep a slot
            await exchange.respond(status, self._say_error(error, exchange.may_see_all), headers)
        elif exchange.tail is not None:
            _FAILED_STREAMS.labels(code_of(error, mid_stream=True)).inc()
            await exchange.end(exchange.tail(error))
        elif exchange.breakable:
            _FAILED_STREAMS.labels(code_of(error, mid_stream=True)).inc()
            exchange.cut()


class SlashRouter(Router):
    """Slashes that are doubled, or stand at the end, mean nothing: base URLs are joined with paths by people."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if "//" in path or path.endswith("/"):
            scope["path"] = SLASHES.sub("/", path).rstrip("/") or "/"
        await super().__call__(scope, receive, send)


def _owner(exchange: Exchange) -> str:
    """Whose bytes its body is: its tenant's, or where nobody is known, its address's."""
    known = exchange.principal
    return (known.tenant if known is not None else "") or f"address {exchange.address}"


def _internal(request_id: str) -> MeshError:
    message = f"NEXUS failed on this request. Report it with the id {request_id}."
    return MeshError(Reason.INTERNAL, message, metadata={"incident": request_id})
