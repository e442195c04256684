"""One candidate asked: for a whole answer, a stream or a count; and what its failure means in words."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import UNREACHED, MeshError, Reason
from nexus_mesh.rpc import Method, Req
from nexus_mesh.settings import Timeouts
from nexus_routing import Candidate, Plan

from nexus_gateway.core import RequestContext
from nexus_gateway.fleet import FAILURES, GONE_PAUSE, JITTER, TRANSPORT, Kind, Measure

__all__ = [
    "COUNT",
    "STREAM",
    "STREAM_ALONE",
    "Asking",
    "Race",
    "RetryBudget",
    "describe",
    "envelope",
    "equals",
    "message",
    "method",
    "served_by",
    "unavailable",
]

T = TypeVar("T")

SERVICE = "nexus.inference.v1.InferenceService"
COMPLETE = Method(
    SERVICE, "Complete", inference_pb2.CompleteRequest, inference_pb2.CompleteResponse, tunnelled=True
)
COMPLETE_ALONE = Method(SERVICE, "Complete", inference_pb2.CompleteRequest, inference_pb2.CompleteResponse)
"""For answers of many parts, which are large: in the tunnel the small ones would wait for them."""
STREAM = Method(SERVICE, "Stream", inference_pb2.StreamRequest, inference_pb2.StreamResponse, tunnelled=True)
STREAM_ALONE = Method(SERVICE, "Stream", inference_pb2.StreamRequest, inference_pb2.StreamResponse)
"""For answers that are bytes: a reader that is slow holds back its own backend, and nobody else's tokens."""
COUNT = Method(
    SERVICE,
    "CountTokens",
    inference_pb2.CountTokensRequest,
    inference_pb2.CountTokensResponse,
    tunnelled=True,
)
MANY_ANSWERS = 16
RETRY_AFTER = 1.0
RESTART = 2.0
"""Seconds within which a supervised process is back."""


def describe(error: MeshError, candidate: Candidate, limits: Timeouts, *, begun: bool = False) -> MeshError:
    """The error of one attempt. `begun`: part of the answer had arrived."""
    backend = candidate.target.backend
    if TRANSPORT in error.metadata:
        if begun:
            return MeshError(
                Reason.BACKEND_LOST,
                f"The connection to backend {backend} broke before the answer was complete. Retry the request.",
            )
        return MeshError(
            Reason.BACKEND_DOWN,
            f"Backend {backend} cannot be reached now. Try again shortly; `nexus status` shows all backends.",
            retry_after=RESTART,
        )
    if UNREACHED in error.metadata and error.retry_after is None:
        error.retry_after = GONE_PAUSE * (1 + JITTER)  # then it is looked for again
    if error.reason is Reason.TIMEOUT and "grpc" in error.metadata:
        return MeshError(
            Reason.TIMEOUT,
            f"Backend {backend} had not finished when the time for the request was over (at most {limits.total:g} s).",
        )
    return error


def unavailable(model: str) -> MeshError:
    """All candidates went out of service between plan and dispatch."""
    return MeshError(
        Reason.BACKEND_DOWN,
        f"Every backend of '{model}' has just become unreachable. Try again shortly.",
        retry_after=RETRY_AFTER,
    )


def served_by(candidate: Candidate, context: RequestContext) -> inference_pb2.Served:
    """Who answers, and why it is them."""
    target, plan = candidate.target, context.chosen
    stands_in = candidate.model.id != plan.model
    dropped = candidate.id in plan.below_tier
    reason = (
        inference_pb2.ROUTE_REASON_RESUMED
        if context.resuming
        else inference_pb2.ROUTE_REASON_PRIVACY_SCRUBBED
        if context.scrubbed is not None
        else inference_pb2.ROUTE_REASON_FAILOVER
        if context.attempts > 1 or stands_in
        else inference_pb2.ROUTE_REASON_CAPACITY_OVERFLOW
        if plan.overflow
        else inference_pb2.ROUTE_REASON_PRIVACY_REQUIREMENT
        if plan.zones
        else inference_pb2.ROUTE_REASON_CAPABILITY_MATCH
    )
    return inference_pb2.Served(
        model=candidate.model.id,
        backend=target.backend,
        instance=target.instance,
        kind=target.kind,
        zone=candidate.zone,
        attempts=context.attempts,
        route_reason=reason,
        fallback_model=candidate.model.id if stands_in else "",
        dropped_tier=target.tier if dropped else "",
        scrubbed=None if context.scrubbed is None else context.scrubbed.total(),
    )


def method(context: RequestContext) -> Method[inference_pb2.CompleteRequest, inference_pb2.CompleteResponse]:
    return COMPLETE if context.request.answers <= MANY_ANSWERS else COMPLETE_ALONE


def message(kind: type[Req], context: RequestContext, candidate: Candidate) -> Req | bytes:
    """The message that asks a candidate; a large one is serialised."""
    request = context.request
    if request.packed is None or context.continued is not None or not request.is_packed:
        return kind(envelope=envelope(context, candidate, context.body_for(candidate.model.id)))
    return request.packed.message(kind, envelope(context, candidate))


def envelope(context: RequestContext, candidate: Candidate, body: str = "") -> inference_pb2.Envelope:
    return inference_pb2.Envelope(
        operation=context.request.operation,  # type: ignore[arg-type]
        model=candidate.model.id,
        body=body,
        backend=candidate.target.backend,
        request_id=context.request.request_id,
        continues=context.continued is not None,
        granted=context.request.granted,
    )


def equals(plan: Plan, first: Candidate) -> Iterator[Candidate]:
    """Who may be asked beside the first: the same model, of no lower tier. Whoever stands in waits until it fails."""
    lower = frozenset[str]() if first.id in plan.below_tier else plan.below_tier
    others = (each for each in plan.candidates if each.id != first.id and each.model.id == first.model.id)
    return (each for each in others if each.id not in lower)


@dataclass(slots=True)
class Race:
    """Between a candidate and whoever is asked beside it. `winner`: whose answer came first, "" = nobody's yet."""

    winner: str = ""

    def is_lost_by(self, candidate: Candidate, context: RequestContext) -> bool:
        """Whether a candidate was late. Whoever was asked second is not, when the first is sooner after all."""
        return self.winner not in ("", candidate.id) and context.hedged != candidate.id


@dataclass(frozen=True, slots=True)
class Asking(Generic[T]):
    """How one candidate is asked. `kind` None: nobody is ever asked beside it."""

    ask: Callable[[RequestContext, Candidate, Race], Awaitable[T]]
    kind: Kind | None
    discard: Callable[[T], Awaitable[None]]
    speed: Callable[[T, float], tuple[Measure, float]]


WINDOW = 10.0
SHARE = 0.2
LEAST = 2 * FAILURES
"""However quiet it is: whoever fails must be found out before the budget is spent on it, twice over."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Upper ends of the random pause before the third attempt, and before any."""


class RetryBudget:
    """At most a fifth of the last ten seconds' requests may be tried again, or ten if that is more."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: deque[list[float]] = deque()  # [start, requests, retries], one per second that had any
        self._requests = 0.0
        self._retries = 0.0

    def count_request(self) -> None:
        self._slide()[1] += 1
        self._requests += 1

    def take(self) -> bool:
        """Takes one retry; False when the budget is spent."""
        second = self._slide()
        if self._retries + 1 > max(LEAST, SHARE * self._requests):
            return False
        second[2] += 1
        self._retries += 1
        return True

    async def pause(self, attempts: int) -> None:
        """Waits before a further attempt: not before the first one, which goes to somebody else at once."""
        if attempts > 1:
            await asyncio.sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempts - 2))))

    def _slide(self) -> list[float]:
        now = self._clock()
        while self._seconds and self._seconds[0][0] <= now - WINDOW:
            _, requests, retries = self._seconds.popleft()
            self._requests -= requests
            self._retries -= retries
        if not self._seconds or self._seconds[-1][0] <= now - 1:
            self._seconds.append([now, 0.0, 0.0])
        return self._seconds[-1]
