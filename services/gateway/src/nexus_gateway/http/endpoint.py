"""The way of every request through the edge: host, origin, method, authentication, handler; and of failures back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nexus_mesh.core import MeshError, Reason, logger, set_request_id
from starlette.types import Receive, Scope, Send

from nexus_gateway.http.errors import EdgeError, Header, envelope, error_object
from nexus_gateway.http.exchange import Exchange
from nexus_gateway.http.guard import HostGuard
from nexus_gateway.http.metrics import count_stream_failure, observe
from nexus_gateway.http.origins import Origins
from nexus_gateway.http.strangers import Strangers
from nexus_gateway.intake import BodyBudget, Hold

Handler = Callable[[Exchange], Awaitable[None]]
Authenticate = Callable[[str | None], Awaitable[Any]]
CLIENT_CLOSED = 499

log = logger("gateway.http")
_DRAINING = MeshError(
    Reason.DRAINING, "This gateway is shutting down. Send the request again.", retry_after=1
)


class Endpoint:
    """One row of the route table as an ASGI application. `name` labels its metrics; without `authenticate` it is
    public."""

    def __init__(
        self,
        name: str,
        handlers: Mapping[str, Handler],
        *,
        guard: HostGuard,
        origins: Origins,
        bodies: BodyBudget,
        strangers: Strangers,
        authenticate: Authenticate | None = None,
    ) -> None:
        self._name = name
        self._handlers = handlers
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
            if self._authenticate is not None:
                exchange.principal = await self._strangers.identify(
                    self._authenticate, exchange.credential, exchange.address
                )
            exchange.hold = Hold(self._bodies, _owner(exchange))
            await handler(exchange)
        except (MeshError, EdgeError) as error:
            await _fail(exchange, error)
        except asyncio.CancelledError:
            # This task serves one request and is cancelled for one of two reasons: the client has gone, and
            # nobody reads what we say; or the grace of a shutdown is over, and the client must hear of it.
            await _fail(exchange, _DRAINING)
        except Exception:
            log.exception("request failed", route=self._name)
            await _fail(exchange, _internal(exchange.request_id))
        finally:
            if exchange.hold is not None:
                exchange.hold.release()
            status = CLIENT_CLOSED if exchange.client_left else exchange.status
            observe(self._name, status, time.perf_counter() - exchange.started)

    def _preflight(self, exchange: Exchange) -> list[Header] | None:
        return self._origins.preflight(exchange.fields, self._handlers)

    def _handler(self, method: str) -> Handler:
        handler = self._handlers.get(method)
        if handler is None:
            allow = ", ".join(self._handlers)
            message = f"This URL does not take {method[:16]}. Use {allow}."
            raise EdgeError("method_not_allowed", message, [(b"allow", allow.encode())])
        return handler


def _owner(exchange: Exchange) -> str:
    """Whose bytes its body is: its tenant's, or where nobody is known, its address's."""
    return getattr(exchange.principal, "tenant", None) or f"address {exchange.address}"


async def _fail(exchange: Exchange, error: MeshError | EdgeError) -> None:
    """Tells the client: by a status while that is possible, else by the stream's last event."""
    if exchange.client_left:
        return
    if exchange.status == 0:
        status, headers, body = envelope(error, full=exchange.may_see_all)
        if exchange.principal is None and status in (401, 429):
            headers.append((b"connection", b"close"))  # strangers do not keep a slot
        await exchange.respond(status, body, headers)
    elif exchange.tail is not None:
        count_stream_failure(str(error_object(error, mid_stream=True)["code"]))
        await exchange.end(exchange.tail(error))


def _internal(request_id: str) -> MeshError:
    message = f"NEXUS failed on this request. Report it with the id {request_id}."
    return MeshError(Reason.INTERNAL, message, metadata={"incident": request_id})
