"""What wraps every handler of every server, as one literal list of start/end pairs."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn, Protocol

import grpc
import prometheus_client

from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_mesh.identity import CALLER, Caller, identify
from nexus_mesh.rpc.policy import PUBLIC

__all__ = ["GIVEN_UP", "MESH", "PUBLIC_EDGE", "Call", "Context", "Guard", "Middleware", "remaining"]

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


class Context(Protocol):
    """What is asked of a call's context, be it the library's or a tunnel's."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...

    def auth_context(self) -> Mapping[str, Iterable[bytes]]: ...

    def time_remaining(self) -> float | None: ...

    def done(self) -> bool: ...

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: Sequence[tuple[str, str | bytes]] = (),
    ) -> NoReturn: ...


class Call:
    """One RPC on its way through the list."""

    __slots__ = ("caller", "context", "guard", "method", "sending", "span", "started")

    def __init__(self, method: str, context: Context, guard: Guard) -> None:
        self.method = method
        self.context = context
        self.guard = guard
        self.caller: Caller | None = None
        self.sending = False
        self.span: Span | None = None
        self.started = time.monotonic()


class Middleware(Protocol):
    """A pair. `start` may refuse by raising MeshError; `end` always runs, with the error if there was one."""

    def start(self, call: Call) -> None: ...

    def end(self, call: Call, error: MeshError | None) -> None: ...


class Correlate:
    """Gives logs and onward calls the request's id."""

    def start(self, call: Call) -> None:
        for key, value in call.context.invocation_metadata() or ():
            if key == REQUEST_ID_KEY and isinstance(value, str):
                telemetry.set_request_id(value[:64])
                return
        telemetry.set_request_id("")

    def end(self, call: Call, error: MeshError | None) -> None:
        """Nothing to undo: each RPC runs in a context of its own."""


class Trace:
    """One server span for each RPC, a child of the caller's."""

    def start(self, call: Call) -> None:
        provider = telemetry.tracer_provider()
        if provider is None:
            return
        from opentelemetry import context, propagate, trace

        carrier = {
            key: value for key, value in call.context.invocation_metadata() or () if isinstance(value, str)
        }
        parent = propagate.extract(carrier)
        span = provider.get_tracer("nexus").start_span(call.method, parent, kind=trace.SpanKind.SERVER)
        call.span = span
        context.attach(trace.set_span_in_context(span, parent))

    def end(self, call: Call, error: MeshError | None) -> None:
        if call.span is None:
            return
        from opentelemetry.trace import StatusCode

        if error is not None:
            call.span.set_status(StatusCode.ERROR, error.reason.value)
        call.span.end()


class Deadline:
    """Remembers when the caller stops waiting, so that onward calls stop with it."""

    def start(self, call: Call) -> None:
        left = call.context.time_remaining()
        DEADLINE.set(None if left is None else call.started + left)

    def end(self, call: Call, error: MeshError | None) -> None:
        """Nothing to undo: each RPC runs in a context of its own."""


class Measure:
    """Counts and times every RPC."""

    def start(self, call: Call) -> None:
        """The clock started with the call."""

    def end(self, call: Call, error: MeshError | None) -> None:
        _handled(call.method, error.reason.value if error else "OK").inc()
        _seconds(call.method).observe(time.monotonic() - call.started)


# What a call amounts to whose caller went away: nobody is told, and it is no fault.
GIVEN_UP = MeshError(Reason.BACKEND_LOST, "The caller gave the call up.")


class Report:
    """Logs refusals and faults; a good call is silent, and of many alike in a minute the first few are logged."""

    QUIET = frozenset({Reason.REVISION_EXPIRED, Reason.DRAINING})
    LOGGED = 10
    SECONDS = 60.0
    KEPT = 1024

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[tuple[str, str, Reason], tuple[float, int]] = OrderedDict()
        """Since when, and how many since."""

    def start(self, call: Call) -> None:
        """Only ends are worth a line."""

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


class Identify:
    """Reads the peer's identity and refuses what has expired or been denied since the connection was made."""

    def start(self, call: Call) -> None:
        call.caller = caller = identify(call.context)  # also who is refused is named in the log
        if caller.expires_timestamp <= time.time():
            raise MeshError(Reason.MESH_IDENTITY, "The certificate of this connection has expired.")
        if caller.spiffe.trust_domain != call.guard.trust_domain:
            raise MeshError(Reason.MESH_IDENTITY, "The certificate belongs to another mesh.")
        if call.guard.denied and str(caller.spiffe) in call.guard.denied:
            raise MeshError(Reason.MESH_IDENTITY, "This identity has been withdrawn.")
        CALLER.set(caller)

    def end(self, call: Call, error: MeshError | None) -> None:
        """Nothing to undo: each RPC runs in a context of its own."""


class Authorize:
    """Default deny by the policy table."""

    def start(self, call: Call) -> None:
        assert call.caller is not None  # noqa: S101 - Identify stands before in the list
        if call.caller.spiffe.role not in call.guard.allowed.get(call.method, NOBODY):
            raise MeshError(
                Reason.MESH_POLICY,
                f"Role {call.caller.spiffe.role} may not call {call.method.rsplit('/', 1)[-1]} here.",
            )

    def end(self, call: Call, error: MeshError | None) -> None:
        """Nothing to undo."""


class AuthorizePublic:
    """The rule of the join port: strangers may call what is public, and nobody may call anything else."""

    def start(self, call: Call) -> None:
        if call.method not in PUBLIC:
            raise MeshError(Reason.MESH_POLICY, "This port serves only what needs no certificate.")

    def end(self, call: Call, error: MeshError | None) -> None:
        """Nothing to undo."""


MESH: Sequence[Middleware] = (Correlate(), Trace(), Measure(), Report(), Deadline(), Identify(), Authorize())
PUBLIC_EDGE: Sequence[Middleware] = (Correlate(), Measure(), Report(), Deadline(), AuthorizePublic())
