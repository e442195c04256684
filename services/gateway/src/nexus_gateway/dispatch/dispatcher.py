"""Walks a plan: the next candidate on failure, for as long as nothing reached the client and the budget allows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TypeVar

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import UNREACHED, MeshError, Reason
from nexus_operations import Shape
from nexus_routing import Candidate

from nexus_gateway.core import RequestContext
from nexus_gateway.dispatch.attempts import (
    COUNT,
    STREAM,
    STREAM_ALONE,
    Asking,
    Race,
    RetryBudget,
    describe,
    equals,
    message,
    method,
    served_by,
    unavailable,
)
from nexus_gateway.dispatch.hedging import Hedger
from nexus_gateway.dispatch.streams import BackendStream
from nexus_gateway.dispatch.uploads import UploadedStream
from nexus_gateway.fleet import CONNECTED, Attempt, Kind, Measure, Peers, Traffic, connecting, is_final
from nexus_gateway.metering import RETRIES

__all__ = ["Dispatcher"]

T = TypeVar("T")

ATTEMPTS = 3
LONG = 16
"""Tokens of a whole answer from which on its length says more of the time it took than its prompt."""
COUNT_SECONDS = 3.0
"""For one candidate to count in. An adapter has an estimate well before."""


class Dispatcher:
    """Sends a planned request to one candidate after the other; to two at once where policy hedges, or one is late."""

    def __init__(self, peers: Peers, traffic: Traffic, budget: RetryBudget) -> None:
        self._peers = peers
        self._traffic = traffic
        self._budget = budget
        self._hedger = Hedger(traffic, budget)

    async def complete(self, context: RequestContext) -> inference_pb2.CompleteResponse:
        """The whole answer of the first candidate that gives one. Raises MeshError."""
        asking = Asking(self._complete_at, Kind.WHOLE, _drop, _speed)
        return await self._walk(context, asking)

    async def open_stream(self, context: RequestContext) -> BackendStream:
        """The stream of the first candidate that has content. The caller must close it. Raises MeshError."""
        # Bytes are dear to make: nobody makes them beside another.
        kind = None if context.request.spec.shape is Shape.MEDIA else Kind.FIRST_CONTENT
        asking = Asking(self._open_at, kind, BackendStream.close, _beginning)
        return await self._walk(context, asking)

    async def open_upload(self, context: RequestContext) -> BackendStream:
        """The same of a request with files. They are sent to one at a time, so nobody is asked beside it."""
        return await self._walk(context, Asking(self._upload_at, None, BackendStream.close, _beginning))

    async def go_on(self, context: RequestContext) -> BackendStream:
        """The stream that goes on with a cut answer, by the plan made for that. Raises MeshError."""
        helpful = filter(self._traffic.can_help, context.chosen.candidates)
        if not any(self._admits(context, each) for each in helpful) and not self._budget.take():
            raise unavailable(context.request.model)
        RETRIES.labels("resumed").inc()
        asking = Asking(self._open_at, None, BackendStream.close, _beginning)
        return await self._walk(context, asking, again=True)

    async def count(self, context: RequestContext) -> inference_pb2.CountTokensResponse:
        """The tokens of the prompt by the first candidate that tells. Raises MeshError."""

        async def counted(
            context: RequestContext, candidate: Candidate, _: Race
        ) -> inference_pb2.CountTokensResponse:
            return await self.count_at(context, candidate)

        return await self._walk(context, Asking(counted, None, _drop, _beginning))

    async def count_at(
        self, context: RequestContext, candidate: Candidate, seconds: float = COUNT_SECONDS
    ) -> inference_pb2.CountTokensResponse:
        """The same by one candidate. It is no attempt: it takes no place, and proves nothing of the backend."""
        peer = self._peers[candidate.endpoint]
        try:
            return await peer.unary(
                COUNT,
                message(inference_pb2.CountTokensRequest, context, candidate),
                timeout=min(seconds, context.left),
            )
        except MeshError as error:
            if error.reason is not Reason.TIMEOUT:
                raise describe(error, candidate, context.limits) from None
            raise MeshError(
                Reason.STREAM_IDLE_TIMEOUT,
                f"Backend {candidate.target.backend} did not count the prompt within {seconds:g} s.",
            ) from None

    async def _walk(self, context: RequestContext, asking: Asking[T], *, again: bool = False) -> T:
        if not again:
            self._budget.count_request()
        failed: MeshError | None = None
        outgrown: dict[str, int] = {}
        for candidate in context.chosen.candidates:
            if not self._admits(context, candidate) or candidate.id == context.hedged:
                continue
            if outgrown and not _is_roomier(candidate, outgrown):
                continue
            if failed is not None:
                if context.attempts >= ATTEMPTS:
                    break
                if not self._may_follow(candidate, failed):
                    continue
                await self._budget.pause(context.attempts)
                RETRIES.labels(failed.reason.value.lower()).inc()
            context.attempts += 1
            context.candidate, context.served = candidate, served_by(candidate, context)
            try:
                if asking.kind is None or next(equals(context.chosen, candidate), None) is None:
                    return await asking.ask(context, candidate, Race())
                return await self._hedger.ask(context, candidate, asking)
            except MeshError as error:
                failed = error
                if error.reason is Reason.CONTEXT_LENGTH:
                    outgrown[candidate.model.id] = candidate.model.context_tokens
                elif is_final(error):
                    break
                if not context.may_be_asked_again:
                    break
        raise failed or unavailable(context.request.model)

    def _admits(self, context: RequestContext, candidate: Candidate) -> bool:
        return self._traffic.admits(candidate, context.tenant, last=context.chosen.last)

    def _may_follow(self, candidate: Candidate, failed: MeshError) -> bool:
        """Whether a further attempt is no part of a storm. The budget is for those that may be.

        Whoever is well and has room is no victim of one. What reached nobody was no load, and a prompt that was too
        long for others is not a failure that might be everywhere.
        """
        return (
            UNREACHED in failed.metadata
            or failed.reason is Reason.CONTEXT_LENGTH
            or self._traffic.can_help(candidate)
            or self._budget.take()
        )

    async def _complete_at(
        self, context: RequestContext, candidate: Candidate, race: Race
    ) -> inference_pb2.CompleteResponse:
        peer, attempt = self._peers[candidate.endpoint], Attempt(self._traffic, candidate, context.tenant)
        started = time.monotonic()
        try:
            async with CONNECTED if peer.is_ready else connecting(peer, context.limits.connect):
                # Named nowhere here: whoever sends it lets go of it.
                response = await peer.unary(
                    method(context),
                    message(inference_pb2.CompleteRequest, context, candidate),
                    timeout=context.left,
                )
            took = time.monotonic() - started
            attempt.succeed()
            attempt.took(*_speed(response, took))
            self._traffic.patience.saw(candidate, Kind.WHOLE, took)
        except MeshError as error:
            attempt.fail(error)
            raise describe(error, candidate, context.limits) from None
        except asyncio.CancelledError:
            if race.is_lost_by(candidate, context):
                attempt.lose()
            raise
        finally:
            attempt.close()
        return response

    async def _open_at(self, context: RequestContext, candidate: Candidate, race: Race) -> BackendStream:
        peer, attempt = self._peers[candidate.endpoint], Attempt(self._traffic, candidate, context.tenant)
        request = message(inference_pb2.StreamRequest, context, candidate)
        alone = context.request.spec.shape is Shape.MEDIA
        call = peer.stream(STREAM_ALONE if alone else STREAM, request, timeout=context.left)
        stream = BackendStream(peer, candidate, attempt, call, context)
        del request
        return await self._opened(stream, context, candidate, attempt, race)

    async def _upload_at(self, context: RequestContext, candidate: Candidate, race: Race) -> BackendStream:
        peer, attempt = self._peers[candidate.endpoint], Attempt(self._traffic, candidate, context.tenant)
        stream = UploadedStream(peer, candidate, attempt, context)
        return await self._opened(stream, context, candidate, attempt, race)

    async def _opened(
        self,
        stream: BackendStream,
        context: RequestContext,
        candidate: Candidate,
        attempt: Attempt,
        race: Race,
    ) -> BackendStream:
        started = time.monotonic()
        try:
            await stream.open()
        except BaseException:
            if race.is_lost_by(candidate, context):
                attempt.lose()
            await stream.close()
            raise
        took = time.monotonic() - started
        attempt.begin()
        attempt.took(Measure.FIRST_CONTENT, took)
        self._traffic.patience.saw(candidate, Kind.FIRST_CONTENT, took)
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


def _beginning(_: object, seconds: float) -> tuple[Measure, float]:
    return Measure.FIRST_CONTENT, seconds


async def _drop(_: object) -> None:
    """A whole answer needs nothing to be let go."""
