"""Walks a plan: the next candidate on failure, for as long as nothing reached the client and the budget allows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import UNREACHED, MeshError, Reason
from nexus_mesh.rpc import Method, Req
from nexus_routing import Candidate

from nexus_gateway.core import Passage
from nexus_gateway.dispatch.backend_stream import BackendStream
from nexus_gateway.dispatch.failures import told, unavailable
from nexus_gateway.dispatch.hedging import Ask, equals, hedged
from nexus_gateway.dispatch.served import served_by
from nexus_gateway.fleet import (
    COMPLETE,
    COMPLETE_ALONE,
    COUNT,
    RETRYABLE,
    Kind,
    Measure,
    Peers,
    RetryBudget,
    Ride,
    Traffic,
    connecting,
    says_upstream,
)
from nexus_gateway.metering import RETRIES

__all__ = ["Dispatcher"]

T = TypeVar("T")
Answered = tuple[T, Candidate, inference_pb2.Served]

ATTEMPTS = 3
SHARE_OF_TOTAL = 1 / 3
"""Of the whole time for a request: whoever has taken so much is late, for somebody else needs some too."""
MANY_ANSWERS = 16
LONG = 16
"""Tokens of a whole answer from which on its length says more of the time it took than its prompt."""
COUNT_SECONDS = 3.0
"""For one candidate to count in. An adapter has an estimate well before."""


@dataclass(slots=True)
class Race:
    """Between a candidate and whoever is asked beside it. `winner`: whose answer came first, "" = nobody's yet."""

    winner: str = ""

    def is_lost_by(self, candidate: Candidate, passage: Passage) -> bool:
        """Whether a candidate was late. Whoever was asked second is not, when the first is sooner after all."""
        return self.winner not in ("", candidate.id) and passage.hedged != candidate.id


@dataclass(frozen=True, slots=True)
class Attempt(Generic[T]):
    """How one candidate is asked. `kind` None: nobody is ever asked beside it."""

    ask: Callable[[Passage, Candidate, Race], Awaitable[T]]
    kind: Kind | None
    discard: Callable[[T], Awaitable[None]]
    speed: Callable[[T, float], tuple[Measure, float]]


class Dispatcher:
    """Sends a planned request to one candidate after the other; to two at once where policy hedges, or one is late."""

    def __init__(self, peers: Peers, traffic: Traffic, budget: RetryBudget) -> None:
        self._peers = peers
        self._traffic = traffic
        self._budget = budget

    async def complete(self, passage: Passage) -> inference_pb2.CompleteResponse:
        """The whole answer of the first candidate that gives one. Raises MeshError."""
        attempt = Attempt(self._complete_at, Kind.WHOLE, _drop, _speed)
        return await self._walk(passage, attempt)

    async def open_stream(self, passage: Passage) -> BackendStream:
        """The stream of the first candidate that has content. The caller must close it. Raises MeshError."""
        attempt = Attempt(self._open_at, Kind.FIRST_CONTENT, BackendStream.close, _beginning)
        return await self._walk(passage, attempt)

    async def go_on(self, passage: Passage) -> BackendStream:
        """The stream that goes on with a cut answer, by the plan made for that. Raises MeshError."""
        helpful = filter(self._traffic.can_help, passage.chosen.candidates)
        if not any(self._admits(passage, each) for each in helpful) and not self._budget.take():
            raise unavailable(passage.request.model)
        RETRIES.labels("resumed").inc()
        attempt = Attempt(self._open_at, None, BackendStream.close, _beginning)
        return await self._walk(passage, attempt, again=True)

    async def count(self, passage: Passage) -> inference_pb2.CountTokensResponse:
        """The tokens of the prompt by the first candidate that tells. Raises MeshError."""

        async def counted(
            passage: Passage, candidate: Candidate, _: Race
        ) -> inference_pb2.CountTokensResponse:
            return await self.count_at(passage, candidate)

        return await self._walk(passage, Attempt(counted, None, _drop, _beginning))

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

    async def _walk(self, passage: Passage, attempt: Attempt[T], *, again: bool = False) -> T:
        if not again:
            self._budget.count_request()
        failed: MeshError | None = None
        outgrown: dict[str, int] = {}
        for candidate in passage.chosen.candidates:
            if not self._admits(passage, candidate) or candidate.id == passage.hedged:
                continue
            if outgrown and not _is_roomier(candidate, outgrown):
                continue
            if failed is not None:
                if passage.attempts >= ATTEMPTS:
                    break
                if not self._may_follow(candidate, failed):
                    continue
                await self._budget.pause(passage.attempts)
                RETRIES.labels(failed.reason.value.lower()).inc()
            passage.attempts += 1
            passage.candidate, passage.served = candidate, served_by(candidate, passage)
            try:
                return await self._attempt(passage, candidate, attempt)
            except MeshError as error:
                failed = error
                if error.reason is Reason.CONTEXT_LENGTH:
                    outgrown[candidate.model.id] = candidate.model.context_tokens
                elif _is_final(error):
                    break
        raise failed or unavailable(passage.request.model)

    def _admits(self, passage: Passage, candidate: Candidate) -> bool:
        return self._traffic.admits(candidate, passage.tenant, last=passage.chosen.last)

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

    async def _attempt(self, passage: Passage, candidate: Candidate, attempt: Attempt[T]) -> T:
        """At a candidate, and beside it at another one of the same model if the first is late."""
        race = Race()
        if attempt.kind is None or next(equals(passage.chosen, candidate), None) is None:
            return await attempt.ask(passage, candidate, race)
        started, first = time.monotonic(), passage.served
        assert first is not None  # noqa: S101 - the caller named it

        def ask(whom: Candidate, served: inference_pb2.Served) -> Ask[Answered[T]]:
            async def answered() -> Answered[T]:
                answer = await attempt.ask(passage, whom, race)
                race.winner = race.winner or whom.id
                return answer, whom, served

            return answered

        def second() -> Ask[Answered[T]] | None:
            other = self._second(passage, candidate)
            return other and ask(other, served_by(other, passage))

        async def discard(answered: Answered[T]) -> None:
            await attempt.discard(answered[0])

        after = passage.hedge_after if attempt.kind is Kind.WHOLE else 0.0
        after = after or min(
            self._traffic.patience.limit(candidate, attempt.kind), SHARE_OF_TOTAL * passage.limits.total
        )
        answer, who, served = await hedged(
            ask(candidate, first), second, after, is_final=_is_final, discard=discard
        )
        passage.candidate, passage.served = who, served
        served.attempts = passage.attempts
        if who is not candidate:
            # It took at least so long: who is often late is to be asked later.
            measure, seconds = attempt.speed(answer, time.monotonic() - started)
            self._traffic.latencies.saw(candidate.model.id, measure, candidate.id, seconds)
        return answer

    def _second(self, passage: Passage, first: Candidate) -> Candidate | None:
        """Who is asked beside the first; None when nobody can be.

        Where policy hedges, within the budget. Where the first is only late, whoever is well and idle, and not dearer;
        or has room at least, within the budget.
        """
        others = [each for each in equals(passage.chosen, first) if self._admits(passage, each)]
        free = False
        if not passage.hedge_after:
            cheap = [each for each in others if each.price.total <= first.price.total]
            spare = list(filter(self._traffic.is_spare, cheap))
            free, others = bool(spare), spare or list(filter(self._traffic.can_help, cheap))
        other = next(iter(others), None)
        if other is None or not (free or self._budget.take()):
            return None
        RETRIES.labels("hedged" if passage.hedge_after else "late").inc()
        passage.attempts += 1
        passage.hedged = other.id
        return other

    async def _complete_at(
        self, passage: Passage, candidate: Candidate, race: Race
    ) -> inference_pb2.CompleteResponse:
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
            took = time.monotonic() - started
            ride.succeed()
            ride.took(*_speed(response, took))
            self._traffic.patience.saw(candidate, Kind.WHOLE, took)
        except MeshError as error:
            ride.fail(error)
            raise told(error, candidate, passage.limits) from None
        except asyncio.CancelledError:
            if race.is_lost_by(candidate, passage):
                ride.lose()
            raise
        finally:
            ride.close()
        return response

    async def _open_at(self, passage: Passage, candidate: Candidate, race: Race) -> BackendStream:
        peer, ride = self._peers.get(candidate.endpoint), Ride(self._traffic, candidate, passage.tenant)
        request = _request(inference_pb2.StreamRequest, passage, candidate)
        stream = BackendStream(peer, candidate, ride, request, passage)
        del request
        started = time.monotonic()
        try:
            await stream.open()
        except BaseException:
            if race.is_lost_by(candidate, passage):
                ride.lose()
            await stream.close()
            raise
        took = time.monotonic() - started
        ride.begin()
        ride.took(Measure.FIRST_CONTENT, took)
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


def _is_final(error: MeshError) -> bool:
    """Whether nobody else must be asked: a verdict on the request, which another one might only hide."""
    if error.reason is Reason.TIMEOUT and says_upstream(error):
        return False
    return error.reason not in RETRYABLE and error.reason is not Reason.CONTEXT_LENGTH


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
        granted=passage.request.granted,
    )
