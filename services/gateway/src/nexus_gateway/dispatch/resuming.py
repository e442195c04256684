"""Goes on with a cut stream at another backend of the same model, where policy allows that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nexus.inference.v1.inference_pb2 import Served
from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_routing import Capability, plan

from nexus_gateway.core import Passage
from nexus_gateway.dispatch.backend_stream import BackendStream
from nexus_gateway.dispatch.dispatcher import Dispatcher
from nexus_gateway.dispatch.partial import Partial, is_repeatable, is_simple
from nexus_gateway.dispatch.repeating import DiffersError, catch_up
from nexus_gateway.fleet import RoutingTable, Traffic

__all__ = ["Resumer"]

MOST = 2
"""Times one answer is gone on with."""
CANDIDATES = 5
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

    def begin(self, passage: Passage) -> Partial | None:
        """Where to keep what was sent; None when the answer is not to be gone on with, whatever happens."""
        policy, model = self._table.table.policy, passage.plan.model if passage.plan else None
        if not policy.resume or model is None or not is_repeatable(passage.request):
            return None
        return Partial() if policy.may_resume(passage.request.model, model) else None

    async def go_on(self, passage: Passage, partial: Partial, error: MeshError) -> BackendStream:
        """The stream of the rest. Raises the error that cut the answer when nobody goes on with it."""
        if error.reason not in CURABLE or passage.resumed >= MOST:
            raise error
        candidate, cut = passage.candidate, passage.served
        assert cut is not None  # noqa: S101 - an answer was cut
        stream = await self._rest(passage, partial, cut) or await self._again(passage, partial, cut)
        if stream is None:
            passage.candidate, passage.served = candidate, cut
            raise error
        passage.resumed += 1
        log.info("cut answer resumed", cut=error.reason.value, repeated=passage.continued is None)
        return stream

    async def _rest(self, passage: Passage, partial: Partial, cut: Served) -> BackendStream | None:
        """By somebody who can go on with text that another one began."""
        body = partial.continuation(passage.request.body) if is_simple(passage.request) else None
        if body is None or not self._plan(passage, cut, frozenset({int(Capability.PREFILL)})):
            return None
        return await self._open(passage, body)

    async def _again(self, passage: Passage, partial: Partial, cut: Served) -> BackendStream | None:
        """By a fresh answer that begins with what was sent, as it does where nothing is left to chance."""
        sent = partial.runs()
        if sent is None or not self._plan(passage, cut, frozenset()):
            return None
        stream = await self._open(passage, None)
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

    async def _open(self, passage: Passage, body: dict[str, Any] | None) -> BackendStream | None:
        passage.continued, passage.resuming = body, True
        try:
            return await self._dispatcher.go_on(passage)
        except MeshError as refused:
            log.warning("cut answer not resumed", refused=refused.reason.value, repeated=body is None)
            return None

    def _plan(self, passage: Passage, cut: Served, needs: frozenset[int]) -> bool:
        """Plans anew under the same demands: the same model only, and not where the answer was cut."""
        wanted = replace(passage.requirements, needs=passage.requirements.needs | needs)
        chosen = plan(self._table.table, wanted, self._traffic.conditions(passage.tenant), CANDIDATES)
        others = tuple(
            each
            for each in chosen.candidates
            if each.model.id == cut.model
            and (each.target.instance, each.target.backend) != (cut.instance, cut.backend)
        )
        passage.plan = replace(chosen, candidates=others)
        return bool(others)
