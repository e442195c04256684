"""Goes on with a cut answer: by somebody who can continue its text, or by a fresh one that begins alike."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus.inference.v1.inference_pb2 import Served
from nexus_mesh.core import JsonObject, MeshError, Reason, telemetry
from nexus_routing import Capability, plan

from nexus_gateway.core import CANDIDATES, RequestContext
from nexus_gateway.dispatch.dispatcher import Dispatcher
from nexus_gateway.dispatch.partial import DECODE, Partial, Run, is_simple
from nexus_gateway.dispatch.streams import BackendStream
from nexus_gateway.fleet import RoutingTable, Traffic

__all__ = ["Resumer"]

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


ENCODE = msgspec.json.Encoder().encode


class DiffersError(Exception):
    """The fresh answer does not begin with what was sent of the cut one."""


async def catch_up(stream: BackendStream, sent: list[Run]) -> None:
    """Reads an opened stream past what was sent; its `early` has what comes after. Raises DiffersError, MeshError."""
    follower, waiting = _Follower(sent), stream.early
    while True:
        message = waiting.popleft() if waiting else await stream.read()
        if message is None or message.HasField("finish"):
            raise DiffersError
        rest = [text for text in map(follower.follow, message.chunks.json) if text is not None]
        if follower.is_through:
            new = inference_pb2.StreamResponse(chunks=inference_pb2.Chunks(json=rest))
            stream.early = deque([*([new] if rest else []), *waiting])
            return


class _Follower:
    """Goes through the text that was sent as it comes again."""

    def __init__(self, sent: list[Run]) -> None:
        self._left = deque(sent)

    @property
    def is_through(self) -> bool:
        return not self._left

    def follow(self, chunk: str) -> str | None:
        """What of a chunk is new; None when nothing is. Raises DiffersError."""
        if self.is_through:
            return chunk
        read = DECODE(chunk)
        for choice in read["choices"]:
            delta = choice.get("delta") or {}
            choice["delta"] = {
                field: self._new(field, value) for field, value in delta.items() if field != "role" and value
            }
            if choice.get("finish_reason") and not self.is_through:
                raise DiffersError
        if not self.is_through:
            return None
        says = any(choice.get("finish_reason") or any(choice["delta"].values()) for choice in read["choices"])
        return ENCODE(read).decode() if says else None

    def _new(self, field: str, value: Any) -> Any:
        """What of one field's text was not sent."""
        while self._left and value:
            expected, text = self._left.popleft()
            if field != expected or not isinstance(value, str):
                raise DiffersError
            both = min(len(text), len(value))
            if text[:both] != value[:both]:
                raise DiffersError
            value = value[both:]
            if both < len(text):
                self._left.appendleft((expected, text[both:]))
        return value
