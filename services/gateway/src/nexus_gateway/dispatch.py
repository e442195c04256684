"""Walks a plan: the next candidate on failure, for as long as nothing reached the client and the budget allows."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from nexus.inference.v1 import inference_pb2
from nexus_mesh.client import Method, Req
from nexus_mesh.errors import MeshError, Reason
from nexus_routing import Candidate

from nexus_gateway.backend_stream import BackendStream
from nexus_gateway.failures import told, unavailable
from nexus_gateway.hedging import Ask, equals, hedged
from nexus_gateway.latencies import Measure
from nexus_gateway.metering import RETRIES
from nexus_gateway.methods import COMPLETE, COMPLETE_ALONE, COUNT
from nexus_gateway.passage import Passage
from nexus_gateway.peers import Peers, connecting
from nexus_gateway.retries import RETRYABLE, RetryBudget
from nexus_gateway.traffic import Ride, Traffic

__all__ = ["Dispatcher"]

T = TypeVar("T")
Answered = tuple[inference_pb2.CompleteResponse, Candidate, inference_pb2.Served]

ATTEMPTS = 3
MANY_ANSWERS = 16
LONG = 16
"""Tokens of a whole answer from which on its length says more of the time it took than its prompt."""
COUNT_SECONDS = 3.0
"""For one candidate to count in. An adapter has an estimate well before."""


class Dispatcher:
    """Sends a planned request to one candidate after the other; to two at once only where policy hedges."""

    def __init__(self, peers: Peers, traffic: Traffic, budget: RetryBudget) -> None:
        self._peers = peers
        self._traffic = traffic
        self._budget = budget

    async def complete(self, passage: Passage) -> inference_pb2.CompleteResponse:
        """The whole answer of the first candidate that gives one. Raises MeshError."""
        attempt = self._complete_hedged if passage.hedge_after else self._complete_at
        return await self._walk(passage, attempt, lambda: True)

    async def open_stream(self, passage: Passage, may_retry: Callable[[], bool]) -> BackendStream:
        """The stream of the first candidate that has content. The caller must close it. Raises MeshError."""
        return await self._walk(passage, self._open_at, may_retry)

    async def go_on(self, passage: Passage) -> BackendStream:
        """The stream that goes on with a cut answer, by the plan made for that. Raises MeshError."""
        if not self._budget.take():
            raise unavailable(passage.request.model)
        RETRIES.labels("resumed").inc()
        return await self._walk(passage, self._open_at, lambda: True, again=True)

    async def count(self, passage: Passage) -> inference_pb2.CountTokensResponse:
        """The tokens of the prompt by the first candidate that tells. Raises MeshError."""
        return await self._walk(passage, self.count_at, lambda: True)

    async def count_at(
        self, passage: Passage, candidate: Candidate, seconds: float = COUNT_SECONDS
    ) -> inference_pb2.CountTokensResponse:
        """The same by one candidate. It is no ride: it takes no place, and proves nothing of the backend."""
        peer = self._peers.get(candidate.endpoint)
        try:
            return await peer.unary(
                COUNT,
                _request(inference_pb2.CountTokensRequest, passage, candidate),
                timeout=min(seconds, passage.left),
            )
        except MeshError as error:
            if error.reason is not Reason.TIMEOUT:
                raise told(error, candidate, passage.limits) from None
            raise MeshError(
                Reason.STREAM_IDLE_TIMEOUT,
                f"Backend {candidate.target.backend} did not count the prompt within {seconds:g} s.",
            ) from None

    async def _walk(
        self,
        passage: Passage,
        attempt: Callable[[Passage, Candidate], Awaitable[T]],
        may_retry: Callable[[], bool],
        *,
        again: bool = False,
    ) -> T:
        assert passage.plan is not None  # noqa: S101 - the step before made it
        if not again:
            self._budget.count_request()
        failed: MeshError | None = None
        outgrown: dict[str, int] = {}
        for candidate in passage.plan.candidates:
            if not self._traffic.admits(candidate) or candidate.id == passage.hedged:
                continue
            if outgrown and not _is_roomier(candidate, outgrown):
                continue
            if failed is not None:
                if passage.attempts >= ATTEMPTS or not self._budget.take():
                    break
                await self._budget.pause(passage.attempts)
                RETRIES.labels(failed.reason.value.lower()).inc()
            passage.attempts += 1
            passage.candidate, passage.served = candidate, _served_by(candidate, passage)
            try:
                return await attempt(passage, candidate)
            except MeshError as error:
                failed = error
                if error.reason is Reason.CONTEXT_LENGTH:
                    outgrown[candidate.model.id] = candidate.model.context_tokens
                elif error.reason not in RETRYABLE:
                    break
                if not may_retry():
                    break
        raise failed or unavailable(passage.request.model)

    async def _complete_hedged(
        self, passage: Passage, candidate: Candidate
    ) -> inference_pb2.CompleteResponse:
        started, first = time.monotonic(), passage.served
        assert first is not None  # noqa: S101 - the step before named it

        def ask(whom: Candidate, served: inference_pb2.Served) -> Ask[Answered]:
            async def answered() -> Answered:
                return await self._complete_at(passage, whom), whom, served

            return answered

        def second() -> Ask[Answered] | None:
            other = self._second(passage, candidate)
            return other and ask(other, _served_by(other, passage))

        answer, who, served = await hedged(ask(candidate, first), second, passage.hedge_after)
        passage.candidate, passage.served = who, served
        served.attempts = passage.attempts
        if who is not candidate:
            # It took at least so long: who is often late is to be asked later.
            measure, seconds = _speed(answer, time.monotonic() - started)
            self._traffic.latencies.saw(candidate.model.id, measure, candidate.id, seconds)
        return answer

    def _second(self, passage: Passage, first: Candidate) -> Candidate | None:
        """Who is asked beside the first; None when nobody can be, or too many requests are asked twice already."""
        assert passage.plan is not None  # noqa: S101 - the step before made it
        other = next(filter(self._traffic.admits, equals(passage.plan, first)), None)
        if other is None or not self._budget.take():
            return None
        RETRIES.labels("hedged").inc()
        passage.attempts += 1
        passage.hedged = other.id
        return other

    async def _complete_at(self, passage: Passage, candidate: Candidate) -> inference_pb2.CompleteResponse:
        peer, ride = self._peers.get(candidate.endpoint), Ride(self._traffic, candidate, passage.tenant)
        started = time.monotonic()
        try:
            async with connecting(peer, passage.limits.connect):
                # Named nowhere here: whoever sends it lets go of it.
                response = await peer.unary(
                    _method(passage),
                    _request(inference_pb2.CompleteRequest, passage, candidate),
                    timeout=passage.left,
                )
            ride.succeed()
            ride.took(*_speed(response, time.monotonic() - started))
        except MeshError as error:
            ride.fail(error)
            raise told(error, candidate, passage.limits) from None
        finally:
            ride.close()
        return response

    async def _open_at(self, passage: Passage, candidate: Candidate) -> BackendStream:
        peer, ride = self._peers.get(candidate.endpoint), Ride(self._traffic, candidate, passage.tenant)
        request = _request(inference_pb2.StreamRequest, passage, candidate)
        stream = BackendStream(peer, candidate, ride, request, passage)
        del request
        started = time.monotonic()
        try:
            await stream.open()
        except BaseException:
            await stream.close()
            raise
        ride.took(Measure.FIRST_CONTENT, time.monotonic() - started)
        return stream


def _is_roomier(candidate: Candidate, outgrown: Mapping[str, int]) -> bool:
    """Whether a request may fit that was too long for others. `outgrown`: their contexts by model, 0 = unknown."""
    context, known = candidate.model.context_tokens, outgrown.get(candidate.model.id)
    if known is not None:
        return 0 < known < context
    return context == 0 or context > max(outgrown.values())


def _speed(answer: inference_pb2.CompleteResponse, seconds: float) -> tuple[Measure, float]:
    """Long answers take as long as their text; the others, and those without text, come with their first content."""
    tokens = answer.usage.completion_tokens
    return (Measure.PER_TOKEN, seconds / tokens) if tokens >= LONG else (Measure.FIRST_CONTENT, seconds)


def _method(passage: Passage) -> Method[inference_pb2.CompleteRequest, inference_pb2.CompleteResponse]:
    return COMPLETE if passage.request.answers <= MANY_ANSWERS else COMPLETE_ALONE


def _request(kind: type[Req], passage: Passage, candidate: Candidate) -> Req | bytes:
    """The message that asks a candidate; a large one is serialised."""
    request = passage.request
    if request.packed is None or passage.continued is not None or not request.is_packed:
        return kind(envelope=_envelope(passage, candidate, passage.body_for(candidate.model.id)))
    return request.packed.message(kind, _envelope(passage, candidate))


def _envelope(passage: Passage, candidate: Candidate, body: str = "") -> inference_pb2.Envelope:
    return inference_pb2.Envelope(
        operation=passage.request.operation,  # type: ignore[arg-type]
        model=candidate.model.id,
        body=body,
        backend=candidate.target.backend,
        request_id=passage.request.request_id,
        continues=passage.continued is not None,
    )


def _served_by(candidate: Candidate, passage: Passage) -> inference_pb2.Served:
    assert passage.plan is not None  # noqa: S101 - the step before made it
    target, plan = candidate.target, passage.plan
    stands_in = candidate.model.id != plan.model
    dropped = candidate.id in plan.below_tier
    reason = (
        inference_pb2.ROUTE_REASON_RESUMED
        if passage.continued is not None
        else inference_pb2.ROUTE_REASON_PRIVACY_SCRUBBED
        if passage.scrubbed is not None
        else inference_pb2.ROUTE_REASON_FAILOVER
        if passage.attempts > 1 or stands_in
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
        attempts=passage.attempts,
        route_reason=reason,
        fallback_model=candidate.model.id if stands_in else "",
        dropped_tier=target.tier if dropped else "",
        scrubbed=None if passage.scrubbed is None else passage.scrubbed.total(),
    )
