"""The way of every request through the edge: host, origin, method, authentication, handler; and of failures back."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from nexus_mesh.core import MeshError, Reason, logger, set_request_id
from prometheus_client import Counter, Histogram
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from nexus_gateway.access import Principal
from nexus_gateway.http.described import Call
from nexus_gateway.http.exchange import Exchange
from nexus_gateway.http.guard import HostGuard, Origins
from nexus_gateway.http.status import EdgeError, Failure, Header, SayError, code_of, status_of
from nexus_gateway.intake import BodyBudget, Hold

__all__ = ["Authenticate", "Endpoint", "Handler", "Row", "SlashRouter", "Strangers"]


Handler = Callable[[Exchange], Awaitable[None]]
Authenticate = Callable[[str | None], Awaitable[Principal]]

PER_SECOND = 2.0
AT_ONCE = 30.0
LINE_SECONDS = 60.0
KEPT = 4096

log = logger("gateway.http")

WRONG_KEYS = Counter(
    "nexus_gateway_http_wrong_keys_total", "Wrong API keys, by how they were answered.", ["status"]
)
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
    "nexus_gateway_http_streams_failed_total", "Event streams that ended with an error event.", ["code"]
)

# Looking a child up costs more than counting in it; routes and statuses are few.
_requests = lru_cache(maxsize=512)(_REQUESTS.labels)
_seconds = lru_cache(maxsize=64)(_SECONDS.labels)


class _Address:
    """A bucket of wrong keys still free, and how many came since the last line about it."""

    __slots__ = ("count", "filled_at", "left", "line_at")

    def __init__(self, now: float) -> None:
        self.left = AT_ONCE
        self.filled_at = now
        self.count = 0
        self.line_at = now - LINE_SECONDS


class Strangers:
    """Stands before whoever authenticates."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    async def identify(self, authenticate: Authenticate, credential: str | None, address: str) -> Principal:
        """As `authenticate`; RATE_LIMIT instead of CALLER_KEY where too many wrong keys come from."""
        try:
            return await authenticate(credential)
        except MeshError as error:
            if error.reason is not Reason.CALLER_KEY or credential is None:
                raise
            wait = self._count(_network(address))
            WRONG_KEYS.labels("429" if wait else "401").inc()
            if not wait:
                raise
            raise MeshError(
                Reason.RATE_LIMIT,
                "Too many wrong API keys have come from your address. Send one that is valid, or wait.",
                retry_after=wait,
            ) from None

    def _count(self, network: str) -> float:
        """Seconds until the next wrong key is free, 0 = this one was."""
        now = self._clock()
        known = self._addresses.pop(network, None) or _Address(now)
        self._addresses[network] = known
        if len(self._addresses) > KEPT:
            self._addresses.popitem(last=False)
        known.left = min(AT_ONCE, known.left + (now - known.filled_at) * PER_SECOND)
        known.filled_at = now
        known.count += 1
        if now - known.line_at >= LINE_SECONDS:
            log.warning("wrong API keys", address=network, count=known.count)
            known.count, known.line_at = 0, now
        if known.left >= 1:
            known.left -= 1
            return 0.0
        return (1 - known.left) / PER_SECOND


def _network(address: str) -> str:
    """Whoever has one address of IPv6 has 2^64."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))


CLIENT_CLOSED = 499

_DRAINING = MeshError(
    Reason.DRAINING, "This gateway is shutting down. Send the request again.", retry_after=1
)


SLASHES = re.compile("/{2,}")
PREFIXES = ("/v1", "")
"""Clients are configured with and without /v1; both work."""


@dataclass(frozen=True, slots=True)
class Row:
    """One URL. `name` labels its metrics; a public row is served without asking who calls.

    `refused` is told of what failed before its handler handed the request on. `calls`: what /openapi.json says of it.
    """

    name: str
    path: str
    handlers: Mapping[str, Handler]
    public: bool = False
    prefixes: tuple[str, ...] = PREFIXES
    refused: Callable[[MeshError], None] | None = None
    calls: tuple[Call, ...] = ()


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
                exchange.principal = await self._strangers.identify(
                    self._authenticate, exchange.credential, exchange.address
                )
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
