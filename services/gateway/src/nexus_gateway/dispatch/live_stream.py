"""A client's stream: held back until there is content or patience ends, then handed on as it comes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, Self

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError

from nexus_gateway.core import Passage
from nexus_gateway.dispatch.backend_stream import BackendStream
from nexus_gateway.dispatch.partial import Partial
from nexus_gateway.dispatch.resuming import Resumer
from nexus_gateway.metering import Costs

__all__ = ["RESUMED", "LiveStream"]

RESUMED = "resumed"
"""Phase of the progress message that tells a cut answer is gone on with."""


class LiveStream:
    """An async iterator of StreamResponse that ends with `finish` or raises MeshError.

    The first one has `served`, or the first with content where it was not certain before who would give that.
    """

    def __init__(
        self, opening: Coroutine[Any, Any, BackendStream], resumer: Resumer, costs: Costs, passage: Passage
    ) -> None:
        """`opening`: the stream of whoever has content first."""
        self._passage = passage
        self._costs = costs
        self._resumer = resumer
        self._partial = resumer.begin(passage)
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
            self._passage.error = error
            raise
        if message is None:
            raise StopAsyncIteration
        if not self._named and self._is_settled:
            self._name(message)
        self._passage.chunks += len(message.chunks.json)
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
        stream = await self._resumer.go_on(self._passage, partial, error)
        self._stream = stream
        self._early.extend(stream.early)
        return inference_pb2.StreamResponse(progress=inference_pb2.Progress(phase=RESUMED))

    def _finish(self, finish: inference_pb2.Finish) -> None:
        self._passage.finished = True
        if self._partial is not None and self._passage.resumed and finish.HasField("usage"):
            finish.usage.CopyFrom(self._partial.whole_usage(finish.usage))
        self._passage.usage = finish.usage if finish.HasField("usage") else None
        self._costs.learn(self._passage)

    def _adopt(self, stream: BackendStream) -> None:
        self._stream = stream
        self._early.extend(stream.early)
        self._passage.first_content = time.monotonic() - self._passage.started

    @property
    def _is_settled(self) -> bool:
        """Whether it is certain who answers: before the first content, somebody else may still have to."""
        return self._stream is not None or (
            self._passage.plan is not None and len(self._passage.plan.candidates) == 1
        )

    def _name(self, message: inference_pb2.StreamResponse) -> None:
        """Sees that the first message says who answers; while nobody does yet, the first after that."""
        self._named = self._passage.served is not None
        self._costs.tell(self._passage)
        self._passage.sign(message)
