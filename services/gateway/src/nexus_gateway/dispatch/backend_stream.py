"""One stream from one candidate: limits on its silence, and the rule that only `finish` ends it well."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import cast

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.rpc import Peer, StreamCall
from nexus_operations import Spec
from nexus_routing import Candidate

from nexus_gateway.core import RequestContext
from nexus_gateway.dispatch.attempts import STREAM, describe
from nexus_gateway.fleet import Attempt, connecting

__all__ = ["BackendStream", "Watchdog", "has_content"]


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
    """Text, a tool call, reasoning, a finish reason, or the end itself. Raises UPSTREAM_MALFORMED."""
    event = message.WhichOneof("event")
    if event == "chunks":
        return any(_is_real(chunk, spec) for chunk in message.chunks.json)
    return event == "finish"


def _is_real(chunk: str, spec: Spec) -> bool:
    try:
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
        request: inference_pb2.StreamRequest | bytes,
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
        self._call: StreamCall[inference_pb2.StreamResponse] = peer.stream(
            STREAM, request, timeout=context.left
        )
        self._messages: Messages | None = None
        self._watchdog = Watchdog(self._call.cancel)
        self._finished = False

    async def open(self) -> None:
        """Reads up to the first content. Raises MeshError."""
        await self._call.__aenter__()
        self._messages = cast(Messages, self._call.__aiter__())
        try:
            async with connecting(self._peer, self._limits.connect):
                message = await self.read()
        except MeshError as error:
            raise self._judged(error) from None
        while message is not None and not self._keep(message):
            message = await self.read()
        self._limit, self._begun = self._limits.stall, True

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
