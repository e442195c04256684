"""What wraps every handler of every server: one literal list of start/end pairs, and how it is folded over one."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import grpc
import prometheus_client

from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_mesh.identity import CALLER, Caller, from_certificate
from nexus_mesh.rpc.channels import Context
from nexus_mesh.rpc.policy import PUBLIC
from nexus_mesh.rpc.status import abort

__all__ = [
    "GIVEN_UP", "MESH", "PUBLIC_EDGE", "Authorize", "Call", "Guard", "Identify", "Middleware", "around_stream",
    "around_unary", "remaining",
]  # fmt: skip

REQUEST_ID_KEY = "x-request-id"
DEADLINE: ContextVar[float | None] = ContextVar("deadline", default=None)

if TYPE_CHECKING:
    from opentelemetry.trace import Span

NOBODY: frozenset[str] = frozenset()

log = telemetry.logger("server")
HANDLED = prometheus_client.Counter(
    "nexus_mesh_handled_total", "RPCs handled, by method and outcome.", ["method", "outcome"]
)
SECONDS = prometheus_client.Histogram(
    "nexus_mesh_handling_seconds",
    "Time from the first middleware to the end of the RPC.",
    ["method"],
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600),
)

# Looking a child up costs more than counting in it; methods and outcomes are few.
_handled = lru_cache(maxsize=1024)(HANDLED.labels)
_seconds = lru_cache(maxsize=128)(SECONDS.labels)


def remaining() -> float | None:
    """Seconds left of the deadline of the RPC being handled; None when it has none."""
    deadline = DEADLINE.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic())


@dataclass(frozen=True, slots=True)
class Guard:
    """What a server accepts: identities of its own trust domain, less those withdrawn (a live set).

    `allowed`: which roles may call which method; a method that is not there nobody.
    """

    trust_domain: str
    denied: AbstractSet[str]
    allowed: Mapping[str, frozenset[str]]


class Call:
    """One RPC on its way through the list."""

    __slots__ = ("caller", "context", "guard", "method", "sending", "span", "started", "task", "verdict")

    def __init__(self, method: str, context: Context, guard: Guard) -> None:
        self.method = method
        self.context = context
        self.guard = guard
        self.caller: Caller | None = None
        self.task: asyncio.Task[object] | None = None
        """Of a stream, that it may be ended from outside."""
        self.sending = False
        """Whether a message of it is on its way just now."""
        self.verdict: MeshError | None = None
        """What a stream was ended with from outside."""
        self.span: Span | None = None
        self.started = time.monotonic()

    def check(self) -> None:
        """CancelledError when it has been ended from outside."""
        if self.verdict is not None:
            raise asyncio.CancelledError


class Middleware:
    """A pair. `start` may refuse by raising MeshError; `end` always runs, with the error if there was one."""

    def start(self, call: Call) -> None:
        """Nothing, where only the end matters."""

    def end(self, call: Call, error: MeshError | None) -> None:
        """Nothing to undo: each RPC runs in a context of its own."""


class Correlate(Middleware):
    """Gives logs and onward calls the request's id."""

    def start(self, call: Call) -> None:
        for key, value in call.context.invocation_metadata() or ():
            if key == REQUEST_ID_KEY and isinstance(value, str):
                telemetry.set_request_id(value[:64])
                return
        telemetry.set_request_id("")


class Deadline(Middleware):
    """Remembers when the caller stops waiting, so that onward calls stop with it."""

    def start(self, call: Call) -> None:
        left = call.context.time_remaining()
        DEADLINE.set(None if left is None else call.started + left)


class Measure(Middleware):
    """Counts and times every RPC."""

    def end(self, call: Call, error: MeshError | None) -> None:
        _handled(call.method, error.reason.value if error else "OK").inc()
        _seconds(call.method).observe(time.monotonic() - call.started)


# What a call amounts to whose caller went away: nobody is told, and it is no fault.
GIVEN_UP = MeshError(Reason.BACKEND_LOST, "The caller gave the call up.")


class Report(Middleware):
    """Logs refusals and faults; a good call is silent, and of many alike in a minute the first few are logged."""

    QUIET = frozenset({Reason.REVISION_EXPIRED, Reason.DRAINING})
    LOGGED = 10
    SECONDS = 60.0
    KEPT = 1024

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[tuple[str, str, Reason], tuple[float, int]] = OrderedDict()
        """Since when, and how many since."""

    def end(self, call: Call, error: MeshError | None) -> None:
        if error is not None and error is not GIVEN_UP and error.reason not in self.QUIET:
            peer = str(call.caller.spiffe) if call.caller else "unknown"
            untold = self._count((call.method, peer, error.reason))
            if untold is not None:
                log.info(
                    "call refused",
                    method=call.method,
                    peer=peer,
                    reason=error.reason.value,
                    detail=error.message,
                    untold=untold or None,
                )

    def _count(self, what: tuple[str, str, Reason]) -> int | None:
        """How many like it were not told before; None when this one is not either."""
        now = self._clock()
        since, count = self._seen.pop(what, (now, 0))
        over = now - since >= self.SECONDS
        self._seen[what] = (now, 1) if over else (since, count + 1)
        if len(self._seen) > self.KEPT:
            self._seen.popitem(last=False)
        if over:
            return max(0, count - self.LOGGED)
        return 0 if count < self.LOGGED else None


class Identify(Middleware):
    """Reads the peer's identity and refuses what has expired or been denied since the connection was made."""

    def start(self, call: Call) -> None:
        call.caller = caller = _peer(call.context)  # also who is refused is named in the log
        if caller.expires_timestamp <= time.time():
            raise MeshError(Reason.MESH_IDENTITY, "The certificate of this connection has expired.")
        if caller.spiffe.trust_domain != call.guard.trust_domain:
            raise MeshError(Reason.MESH_IDENTITY, "The certificate belongs to another mesh.")
        if call.guard.denied and str(caller.spiffe) in call.guard.denied:
            raise MeshError(Reason.MESH_IDENTITY, "This identity has been withdrawn.")
        CALLER.set(caller)


class Authorize(Middleware):
    """Default deny by the policy table."""

    def start(self, call: Call) -> None:
        assert call.caller is not None  # noqa: S101 - Identify stands before in the list
        if call.caller.spiffe.role not in call.guard.allowed.get(call.method, NOBODY):
            raise MeshError(
                Reason.MESH_POLICY,
                f"Role {call.caller.spiffe.role} may not call {call.method.rsplit('/', 1)[-1]} here.",
            )


class AuthorizePublic(Middleware):
    """The rule of the join port: strangers may call what is public, and nobody may call anything else."""

    def start(self, call: Call) -> None:
        if call.method not in PUBLIC:
            raise MeshError(Reason.MESH_POLICY, "This port serves only what needs no certificate.")


def _peer(context: Context) -> Caller:
    for pem in context.auth_context().get("x509_pem_cert", ()):
        return from_certificate(pem)
    raise MeshError(Reason.MESH_IDENTITY, "This port needs a client certificate of the mesh.")


MESH: Sequence[Middleware] = (Correlate(), Measure(), Report(), Deadline(), Identify(), Authorize())
PUBLIC_EDGE: Sequence[Middleware] = (Correlate(), Measure(), Report(), Deadline(), AuthorizePublic())


def around_unary(
    chain: Sequence[Middleware], guard: Guard, method: str, inner: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    """A behaviour with the list around it."""

    async def handle(request: Any, context: Context) -> Any:
        call = Call(method, context, guard)
        error: MeshError | None = None
        begun = 0
        try:
            for part in chain:
                begun += 1
                part.start(call)
            answer = inner(request, context)
            del request
            return await answer
        except asyncio.CancelledError:
            error = GIVEN_UP
            raise
        except Exception as failure:
            error = _as_mesh_error(failure, method)
            await abort(context, error)
        finally:
            for part in reversed(chain[:begun]):
                part.end(call, error)
            error = None  # its traceback holds this frame, and that what was asked

    return handle


def around_stream(
    chain: Sequence[Middleware], guard: Guard, running: set[Call], method: str, inner: Callable[..., Any]
) -> Callable[..., AsyncIterator[Any]]:
    """The same of what answers with a stream. `running` has the calls that may be ended from outside."""

    async def handle(request: Any, context: Context) -> AsyncIterator[Any]:
        call = Call(method, context, guard)
        call.task = task = asyncio.current_task()
        assert task is not None  # noqa: S101 - handlers always run in a task
        running.add(call)
        error: MeshError | None = None
        begun = 0
        try:
            for part in chain:
                begun += 1
                part.start(call)
            result = inner(request, context)
            del request
            if hasattr(result, "__aiter__"):
                async with contextlib.aclosing(result):
                    async for message in result:
                        call.sending = True
                        yield message
                        call.sending = False
                        call.check()
            else:
                await result
        except asyncio.CancelledError:
            running.discard(call)
            error = call.verdict
            if error is None:
                error = GIVEN_UP
                raise
            task.uncancel()
            await abort(context, error)
        except Exception as failure:
            error = _as_mesh_error(failure, method)
            await abort(context, error)
        finally:
            running.discard(call)
            for part in reversed(chain[:begun]):
                part.end(call, error)
            error = None  # its traceback holds this frame, and that what was asked

    return handle


def _as_mesh_error(failure: Exception, method: str) -> MeshError:
    if isinstance(failure, MeshError):
        return failure
    if isinstance(failure, grpc.aio.AbortError):
        raise failure  # the library's own servicers (health, reflection) answer this way
    incident = secrets.token_hex(6)
    log.error("handler failed", method=method, incident=incident, exc_info=failure)
    return MeshError(
        Reason.INTERNAL,
        f"An internal fault happened; it was logged as {incident}.",
        metadata={"incident": incident},
    )
