"""Goes on with a cut stream at another backend of the same model, where policy allows that."""

from __future__ import annotations

from dataclasses import replace

from nexus_mesh import telemetry
from nexus_mesh.errors import MeshError, Reason
from nexus_routing import Capability, plan

from nexus_gateway.backend_stream import BackendStream
from nexus_gateway.dispatch import Dispatcher
from nexus_gateway.partial import Partial, is_simple
from nexus_gateway.passage import Passage
from nexus_gateway.routing_table import RoutingTable
from nexus_gateway.traffic import Traffic

__all__ = ["Resumer"]

MOST = 2
"""Times one answer is gone on with."""
CANDIDATES = 3
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
        if not policy.resume or model is None or not is_simple(passage.request):
            return None
        return Partial() if policy.may_resume(passage.request.model, model) else None

    async def go_on(self, passage: Passage, partial: Partial, error: MeshError) -> BackendStream:
        """The stream of the rest. Raises the error that cut the answer when nobody goes on with it."""
        body = partial.continuation(passage.request.body)
        if body is None or error.reason not in CURABLE or passage.resumed >= MOST:
            raise error
        if not self._plan(passage):
            raise error
        passage.continued = body
        try:
            stream = await self._dispatcher.go_on(passage)
        except MeshError as refused:
            log.warning("cut answer not resumed", cut=error.reason.value, refused=refused.reason.value)
            raise error from None
        passage.resumed += 1
        log.info("cut answer resumed", cut=error.reason.value)
        return stream

    def _plan(self, passage: Passage) -> bool:
        """Plans anew under the same demands: the same model only, and not where the answer was cut."""
        assert passage.served is not None  # noqa: S101 - an answer was cut
        served, asked = passage.served, passage.requirements
        needs = replace(asked, needs=asked.needs | {int(Capability.PREFILL)})
        chosen = plan(self._table.table, needs, self._traffic.conditions(passage.tenant), CANDIDATES)
        others = tuple(
            each
            for each in chosen.candidates
            if each.model.id == served.model
            and (each.target.instance, each.target.backend) != (served.instance, served.backend)
        )
        passage.plan = replace(chosen, candidates=others)
        return bool(others)
