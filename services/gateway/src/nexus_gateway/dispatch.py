"""Walks a plan: the next candidate on failure, for as long as nothing reached the client and the budget allows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from nexus.inference.v1 import inference_pb2
from nexus_mesh.client import Method
from nexus_mesh.errors import MeshError
from nexus_routing import Candidate

from nexus_gateway.backend_stream import BackendStream
from nexus_gateway.failures import told, unavailable
from nexus_gateway.metering import RETRIES
from nexus_gateway.methods import COMPLETE, COMPLETE_ALONE
from nexus_gateway.passage import Passage
from nexus_gateway.peers import Peers, connecting
from nexus_gateway.retries import RETRYABLE, RetryBudget
from nexus_gateway.traffic import Ride, Traffic

__all__ = ["Dispatcher"]

T = TypeVar("T")

MANY_ANSWERS = 16


class Dispatcher:
    """Sends a planned request to one candidate after the other, never to two at once."""

    def __init__(self, peers: Peers, traffic: Traffic, budget: RetryBudget) -> None:
        self._peers = peers
        self._traffic = traffic
        self._budget = budget

    async def complete(self, passage: Passage) -> inference_pb2.CompleteResponse:
        """The whole answer of the first candidate that gives one. Raises MeshError."""
        return await self._walk(passage, self._complete_at, lambda: True)

    async def open_stream(self, passage: Passage, may_retry: Callable[[], bool]) -> BackendStream:
        """The stream of the first candidate that has content. The caller must close it. Raises MeshError."""
        return await self._walk(passage, self._open_at, may_retry)

    async def _walk(
        self,
        passage: Passage,
        attempt: Callable[[Passage, Candidate], Awaitable[T]],
        may_retry: Callable[[], bool],
    ) -> T:
        assert passage.plan is not None  # noqa: S101 - the step before made it
        self._budget.count_request()
        failed: MeshError | None = None
        for candidate in passage.plan.candidates:
            if not self._traffic.admits(candidate):
                continue
            if failed is not None:
                if not self._budget.take():
                    break
                RETRIES.labels(failed.reason.value.lower()).inc()
            passage.attempts += 1
            passage.served = _served_by(candidate, passage)
            try:
                return await attempt(passage, candidate)
            except MeshError as error:
                failed = error
                if error.reason not in RETRYABLE or not may_retry():
                    break
        raise failed or unavailable(passage.request.model)

    async def _complete_at(self, passage: Passage, candidate: Candidate) -> inference_pb2.CompleteResponse:
        peer, ride = self._peers.get(candidate.endpoint), Ride(self._traffic, candidate)
        request = inference_pb2.CompleteRequest(envelope=_envelope(passage, candidate))
        try:
            async with connecting(peer, passage.limits.connect):
                response = await peer.unary(_method(passage), request, timeout=passage.left)
            ride.succeed()
        except MeshError as error:
            ride.fail(error)
            raise told(error, candidate, passage.limits) from None
        finally:
            ride.close()
        return response

    async def _open_at(self, passage: Passage, candidate: Candidate) -> BackendStream:
        peer, ride = self._peers.get(candidate.endpoint), Ride(self._traffic, candidate)
        stream = BackendStream(peer, candidate, ride, _envelope(passage, candidate), passage)
        try:
            await stream.open()
        except BaseException:
            await stream.close()
            raise
        return stream


def _method(passage: Passage) -> Method[inference_pb2.CompleteRequest, inference_pb2.CompleteResponse]:
    return COMPLETE if passage.request.answers <= MANY_ANSWERS else COMPLETE_ALONE


def _envelope(passage: Passage, candidate: Candidate) -> inference_pb2.Envelope:
    return inference_pb2.Envelope(
        operation=passage.request.operation,  # type: ignore[arg-type]
        model=candidate.model.id,
        body=passage.body,
        backend=candidate.target.backend,
        request_id=passage.request.request_id,
    )


def _served_by(candidate: Candidate, passage: Passage) -> inference_pb2.Served:
    assert passage.plan is not None  # noqa: S101 - the step before made it
    target = candidate.target
    reason = (
        inference_pb2.ROUTE_REASON_FAILOVER
        if passage.attempts > 1
        else inference_pb2.ROUTE_REASON_PRIVACY_REQUIREMENT
        if passage.plan.zones
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
    )
