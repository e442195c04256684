"""A client's stream: held back until there is content or patience ends, handed on as it comes, resumed when cut."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import replace
from typing import Self

from nexus.inference.v1 import inference_pb2
from nexus.inference.v1.inference_pb2 import Served
from nexus_mesh.core import JsonObject, MeshError, Reason, telemetry
from nexus_routing import Capability, plan

from nexus_gateway.core import CANDIDATES, RequestContext
from nexus_gateway.dispatch.backend_stream import BackendStream
from nexus_gateway.dispatch.dispatcher import Dispatcher
from nexus_gateway.dispatch.partial import DiffersError, Partial, catch_up, is_repeatable, is_simple
from nexus_gateway.fleet import RoutingTable, Traffic
from nexus_gateway.metering import Costs

__all__ = ["RESUMED", "LiveStream", "Resumer"]

MOST = 2
"""Times one answer is gone on with."""
CURABLE = frozenset(
    {
        Reason.BACKEND_DOWN,
        Reason.BACKEND_LOST,
        Reason.DRAINING,
        Reason.STREAM_IDLE_TIMEOUT,
        Reason.UPSTREAM_ERROR,
        Reason.UPSTREAM_MALFORMED,
    }
)
"""What another backend may do better. A deadline that is over is over there too."""

log = telemetry.logger("resume")


class Resumer:
    """Knows who else could go on; asks for it at most twice for one answer."""

    def __init__(self, table: RoutingTable, traffic: Traffic, dispatcher: Dispatcher) -> None:
        self._table = table
        self._traffic = traffic
        self._dispatcher = dispatcher

    def begin(self, context: RequestContext) -> Partial | None:
        """Where to keep what was sent; None when the answer is not to be gone on with, whatever happens."""
        policy, model = self._table.table.policy, context.plan.model if context.plan else None
        if not policy.resume or model is None or not is_repeatable(context.request):
            return None
        return Partial() if policy.may_resume(context.request.model, model) else None

    async def go_on(self, context: RequestContext, partial: Partial, error: MeshError) -> BackendStream:
        """The stream of the rest. Raises the error that cut the answer when nobody goes on with it."""
        if error.reason not in CURABLE or context.resumed >= MOST:
            raise error
        candidate, cut = context.candidate, context.served
        assert cut is not None  # noqa: S101 - an answer was cut
        stream = await self._rest(context, partial, cut) or await self._again(context, partial, cut)
        if stream is None:
            context.candidate, context.served = candidate, cut
            raise error
        context.resumed += 1
        log.info("cut answer resumed", cut=error.reason.value, repeated=context.continued is None)
        return stream

    async def _rest(self, context: RequestContext, partial: Partial, cut: Served) -> BackendStream | None:
        """By somebody who can go on with text that another one began."""
        body = partial.continuation(context.request.body) if is_simple(context.request) else None
        if body is None or not self._plan(context, cut, frozenset({int(Capability.PREFILL)})):
            return None
        return await self._open(context, body)

    async def _again(self, context: RequestContext, partial: Partial, cut: Served) -> BackendStream | None:
        """By a fresh answer that begins with what was sent, as it does where nothing is left to chance."""
        sent = partial.runs()
        if sent is None or not self._plan(context, cut, frozenset()):
            return None
        stream = await self._open(context, None)
        if stream is None:
            return None
        try:
            await catch_up(stream, sent)
        except (DiffersError, MeshError) as error:
            log.warning("fresh answer is of no use", why=type(error).__name__)
            await stream.close()
            return None
        except BaseException:
            await stream.close()
            raise
        return stream

    async def _open(self, context: RequestContext, body: JsonObject | None) -> BackendStream | None:
        context.continued, context.resuming = body, True
        try:
            return await self._dispatcher.go_on(context)
        except MeshError as refused:
            log.warning("cut answer not resumed", refused=refused.reason.value, repeated=body is None)
            return None

    def _plan(self, context: RequestContext, cut: Served, needs: frozenset[int]) -> bool:
        """Plans anew under the same demands: the same model only, and not where the answer was cut."""
        wanted = replace(context.requirements, needs=context.requirements.needs | needs)
        chosen = plan(self._table.table, wanted, self._traffic.conditions(context.tenant), CANDIDATES)
        others = tuple(
            each
            for each in chosen.candidates
            if each.model.id == cut.model
            and (each.target.instance, each.target.backend) != (cut.instance, cut.backend)
        )
        context.plan = replace(chosen, candidates=others)
        return bool(others)


RESUMED = "resumed"
"""Phase of the progress message that tells a cut answer is gone on with."""


class LiveStream:
    """An async iterator of StreamResponse that ends with `finish` or raises MeshError.

    The first one has `served`, or the first with content where it was not certain before who would give that.
    """

    def __init__(
        self,
        opening: Coroutine[object, object, BackendStream],
        resumer: Resumer,
        costs: Costs,
        context: RequestContext,
    ) -> None:
        """`opening`: the stream of whoever has content first."""
        self._context = context
        self._costs = costs
        self._resumer = resumer
        self._partial = resumer.begin(context)
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
        stream = await self._resumer.go_on(self._context, partial, error)
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
