"""A stream: one candidate's, with limits on its silence; and the client's, held back until there is content or
patience ends, handed on as it comes, gone on with when cut. Only `finish` ends either of them well."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Self, cast

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.rpc import Peer, StreamCall
from nexus_operations import Form, Spec
from nexus_routing import Candidate

from nexus_gateway.core import RequestContext
from nexus_gateway.dispatch.attempts import describe
from nexus_gateway.dispatch.partial import Partial, is_repeatable
from nexus_gateway.fleet import CONNECTED, Attempt, connecting
from nexus_gateway.metering import Costs

__all__ = ["BackendStream", "LiveStream", "Watchdog", "has_content"]


class Watchdog:
    """Barks once, if a wait that was announced lasts longer than its limit. Must be closed."""

    __slots__ = ("_bark", "_due", "_loop", "_timer", "expired")

    def __init__(self, bark: Callable[[], None]) -> None:
        self._bark = bark
        self._due = math.inf
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.expired = False

    def wait(self, limit: float) -> None:
        """From now on a wait is on, allowed to last `limit` seconds."""
        self._due = due = self._loop.time() + limit
        if self._timer is None or self._timer.when() > due:
            self._look_at(due)

    def rest(self) -> None:
        """The wait is over. The timer stays: the next wait will use it."""
        self._due = math.inf

    @property
    def waits(self) -> bool:
        """Whether a wait is on."""
        return self._due < math.inf

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_at(self, when: float) -> None:
        self.close()
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._loop.time() >= self._due:
            self.expired = True
            self._bark()
        elif self._due < math.inf:
            self._look_at(self._due)


DECODE = msgspec.json.Decoder().decode


def has_content(message: inference_pb2.StreamResponse, spec: Spec) -> bool:
    """Text, a tool call, reasoning, a finish reason, bytes, or the end itself. Raises UPSTREAM_MALFORMED."""
    event = message.WhichOneof("event")
    if event == "chunks":
        return any(_is_real(chunk, spec) for chunk in message.chunks.json)
    return event in ("finish", "answer") or (event == "media" and bool(message.media.data))


def _is_real(chunk: str, spec: Spec) -> bool:
    try:
        if spec.form is Form.OBJECT:
            return isinstance(DECODE(chunk)["type"], str)
        return any(spec.has_content(choice) for choice in DECODE(chunk)["choices"])
    except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
        raise MeshError(
            Reason.UPSTREAM_MALFORMED, "The backend sent something that is no chunk of an answer."
        ) from None


Messages = AsyncGenerator[inference_pb2.StreamResponse, None]
END_GRACE = 1.0


class BackendStream:
    """Open from construction to close(). `early` holds what arrived up to and with the first content."""

    def __init__(
        self,
        peer: Peer,
        candidate: Candidate,
        attempt: Attempt,
        call: StreamCall[inference_pb2.StreamResponse],
        context: RequestContext,
    ) -> None:
        self.early: deque[inference_pb2.StreamResponse] = deque()
        self._peer = peer
        self._attempt = attempt
        self._candidate = candidate
        self._spec = context.request.spec
        self._limits = context.limits
        self._limit = context.limits.first_token
        self._begun = False
        self._call = call
        self._messages: Messages | None = None
        self._watchdog = Watchdog(self._call.cancel)
        self._finished = False

    async def open(self) -> None:
        """Reads up to the first content. Raises MeshError."""
        message = await self._first()
        while message is not None and not self._keep(message):
            message = await self.read()
        self._begin()

    async def _first(self) -> inference_pb2.StreamResponse | None:
        """Connects, and reads the first message."""
        await self._call.__aenter__()
        self._messages = cast(Messages, self._call.__aiter__())
        try:
            async with CONNECTED if self._peer.is_ready else connecting(self._peer, self._limits.connect):
                return await self.read()
        except MeshError as error:
            raise self._judged(error) from None

    def _begin(self) -> None:
        """The answer has begun: from now on its pauses are short."""
        self._limit, self._begun = self._limits.stall, True

    def _allow(self, limit: float) -> None:
        """The wait that is on, and all that follow, may last so long."""
        self._limit = limit
        if self._watchdog.waits:
            self._watchdog.wait(limit)

    async def read(self) -> inference_pb2.StreamResponse | None:
        """The next message; None after `finish`. Raises MeshError."""
        if self._finished:
            return None
        message = await self._next(self._limit)
        if message is None:
            raise self._judged(
                MeshError(
                    Reason.UPSTREAM_MALFORMED,
                    "The backend's answer ended without its finish; it is not whole.",
                )
            )
        if message.HasField("finish"):
            self._finished = True
            self._attempt.succeed()
        return message

    async def close(self) -> None:
        """Cancels what still runs. A finished call may end by itself, so that the adapter sees no cancellation."""
        if self._messages is not None:
            if self._finished:
                with suppress(MeshError):
                    await self._next(END_GRACE)
            await self._messages.aclose()
            await self._call.__aexit__(None, None, None)
        self._watchdog.close()
        self._attempt.close()

    async def _next(self, limit: float) -> inference_pb2.StreamResponse | None:
        assert self._messages is not None  # noqa: S101 - open() comes first
        self._watchdog.wait(limit)
        try:
            return await self._messages.__anext__()
        except StopAsyncIteration:
            return None
        except MeshError as error:
            raise self._judged(self._silence() if self._watchdog.expired else error) from None
        finally:
            self._watchdog.rest()

    def _keep(self, message: inference_pb2.StreamResponse) -> bool:
        """Stores an early message; whether it is content."""
        self.early.append(message)
        try:
            return has_content(message, self._spec)
        except MeshError as error:
            raise self._judged(error) from None

    def _judged(self, error: MeshError) -> MeshError:
        self._attempt.fail(error)
        return describe(error, self._candidate, self._limits, begun=self._begun)

    def _silence(self) -> MeshError:
        return MeshError(
            Reason.STREAM_IDLE_TIMEOUT,
            f"The backend {self._candidate.target.backend} sent nothing for {self._limit:g} s.",
            metadata={"limit_seconds": f"{self._limit:g}"},
        )


RESUMED = "resumed"
"""Phase of the progress message that tells a cut answer is gone on with."""


class LiveStream:
    """An async iterator of StreamResponse that ends with `finish` or raises MeshError.

    The first one has `served`, or the first with content where it was not certain before who would give that.
    """

    def __init__(
        self,
        opening: Coroutine[object, object, BackendStream],
        go_on: Callable[[RequestContext, Partial, MeshError], Awaitable[BackendStream]],
        costs: Costs,
        context: RequestContext,
    ) -> None:
        """`opening`: the stream of whoever has content first. `go_on`: the stream of the rest, after an error."""
        self._context = context
        self._costs = costs
        self._go_on = go_on
        # Kept only where it may be gone on with.
        self._partial = Partial() if context.may_resume and is_repeatable(context.request) else None
        self._early: deque[inference_pb2.StreamResponse] = deque()
        self._stream: BackendStream | None = None
        self._named = False
        self._opening = asyncio.create_task(opening, name="open stream")

    async def open(self, commit_after: float) -> None:
        """Waits for the first content, at most `commit_after` seconds. Failures until then are raised here."""
        done, _ = await asyncio.wait({self._opening}, timeout=commit_after)
        if done:
            self._adopt(self._opening.result())
        else:
            self._early.append(inference_pb2.StreamResponse(progress=inference_pb2.Progress(phase="waiting")))

    async def close(self) -> None:
        """Cancels what still runs, and waits until it has."""
        if self._stream is None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
            if not self._opening.cancelled() and self._opening.exception() is None:
                self._stream = self._opening.result()
        if self._stream is not None:
            await self._stream.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> inference_pb2.StreamResponse:
        try:
            message = await self._next()
        except MeshError as error:
            self._context.outcome.error = error
            raise
        if message is None:
            raise StopAsyncIteration
        if not self._named and self._is_settled:
            self._name(message)
        self._context.outcome.chunks += len(message.chunks.json)
        if self._partial is not None:
            self._partial.add(message)
        if message.HasField("finish"):
            self._finish(message.finish)
        return message

    async def _next(self) -> inference_pb2.StreamResponse | None:
        if self._stream is None and not self._early:
            self._adopt(await self._opening)
        if self._early:
            return self._early.popleft()
        assert self._stream is not None  # noqa: S101 - adopted above
        try:
            return await self._stream.read()
        except MeshError as error:
            if self._partial is None:
                raise
            return await self._resume(self._stream, self._partial, error)

    async def _resume(
        self, cut: BackendStream, partial: Partial, error: MeshError
    ) -> inference_pb2.StreamResponse:
        """Takes the rest from somebody else, and says so. Raises `error` when nobody has it."""
        await cut.close()
        stream = await self._go_on(self._context, partial, error)
        self._stream = stream
        self._early.extend(stream.early)
        return inference_pb2.StreamResponse(progress=inference_pb2.Progress(phase=RESUMED))

    def _finish(self, finish: inference_pb2.Finish) -> None:
        self._context.outcome.finished = True
        if self._partial is not None and self._context.resumed and finish.HasField("usage"):
            finish.usage.CopyFrom(self._partial.whole_usage(finish.usage))
        self._context.outcome.usage = finish.usage if finish.HasField("usage") else None
        self._costs.learn(self._context)

    def _adopt(self, stream: BackendStream) -> None:
        self._stream = stream
        self._early.extend(stream.early)
        self._context.outcome.first_content = time.monotonic() - self._context.started

    @property
    def _is_settled(self) -> bool:
        """Whether it is certain who answers: before the first content, somebody else may still have to."""
        return self._stream is not None or (
            self._context.plan is not None and len(self._context.plan.candidates) == 1
        )

    def _name(self, message: inference_pb2.StreamResponse) -> None:
        """Sees that the first message says who answers; while nobody does yet, the first after that."""
        self._named = self._context.served is not None
        self._costs.tell(self._context)
        self._context.sign(message)
