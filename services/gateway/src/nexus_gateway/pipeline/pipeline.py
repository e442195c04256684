"""What happens to a request, whatever it came by, as one literal list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_mesh.settings import Timeouts
from nexus_routing import Endpoint, Explanation, Plan, Refusal, Requirements, explain, plan, similar

from nexus_gateway.access import ANONYMOUS, Authenticator, Principal, may_manage
from nexus_gateway.admission import Admission
from nexus_gateway.core import InferenceRequest, Passage, refuse, reword, room, tenant_of
from nexus_gateway.dispatch import Dispatcher, LiveStream, QueuedDispatcher, Resumer, counting
from nexus_gateway.fleet import ModelRow, Readiness, RoutingTable, Traffic, find_model, list_models, readiness
from nexus_gateway.management import Lifecycle
from nexus_gateway.metering import Costs, settle
from nexus_gateway.metering import requests as metering
from nexus_gateway.pipeline.hidden import Hidden
from nexus_gateway.pipeline.several_prompts import is_separable, joined, separated
from nexus_gateway.scrubbing import Crossings
from nexus_gateway.validation import granted

__all__ = ["Pipeline"]

CANDIDATES = 5
"""More than are asked: of those that are left when one fails, some may have failed since."""
RETRY_AFTER = 1.0


class Pipeline:
    """Knows neither HTTP nor gRPC servers. `authenticator` None = open: whoever gets here may use every model."""

    def __init__(
        self,
        table: RoutingTable,
        traffic: Traffic,
        dispatcher: Dispatcher,
        admission: Admission,
        authenticator: Authenticator | None,
        *,
        lifecycle: Lifecycle,
        limits: Timeouts,
        model_limits: Mapping[str, Timeouts],
        commit_after: float,
        draining: asyncio.Event,
        has_met: Callable[[Endpoint], bool],
        passthrough: Collection[str] = (),
    ) -> None:
        self.table = table
        self.traffic = traffic
        self.lifecycle = lifecycle
        self._dispatcher = QueuedDispatcher(dispatcher, admission, self._plan_anew)
        self._unqueued = dispatcher  # to count a prompt takes no place
        self._resumer = Resumer(table, traffic, dispatcher)
        self._authenticator = authenticator
        self._limits = limits
        self._model_limits = model_limits
        self._commit_after = commit_after
        self._draining = draining
        self._passthrough = frozenset(passthrough)
        self._has_met = has_met
        self._crossings = Crossings()
        self._hidden = Hidden(self._crossings)
        self._costs = Costs()

    async def authenticate(self, credential: str | None) -> Principal:
        """Whose credential it is. Raises CALLER_KEY or AUTH_UNAVAILABLE."""
        return (
            ANONYMOUS if self._authenticator is None else await self._authenticator.authenticate(credential)
        )

    async def complete(self, request: InferenceRequest) -> inference_pb2.CompleteResponse:
        """The whole answer. Raises MeshError; cancelling cancels the backend."""
        try:
            return await self._complete(request)
        except MeshError as error:
            if not is_separable(request, error):
                raise
        return joined([await self._complete(each) for each in separated(request)])

    async def _complete(self, request: InferenceRequest) -> inference_pb2.CompleteResponse:
        passage = Passage(request, self._limits)
        metering.begin()
        try:
            await self._prepare(passage)
            response = await self._dispatcher.complete(passage)
            passage.usage = response.usage if response.HasField("usage") else None
            self._costs.learn(passage)
            self._costs.tell(passage)
            passage.sign(response)
            passage.finished = True
        except MeshError as error:
            reword(error, passage)
            passage.error = error
            raise
        finally:
            metering.end(passage)
        return response

    @asynccontextmanager
    async def stream(
        self, request: InferenceRequest
    ) -> AsyncIterator[AsyncIterator[inference_pb2.StreamResponse]]:
        """The answer as it is made.

        Entering waits for the first content, at most `commit_after` seconds, and raises what failed until then.
        Later failures are raised by the iterator, which ends by itself only after `finish`. `served` is in the first
        message, or in the first with content where several might give that. Leaving cancels the backend.
        """
        passage, live = Passage(request, self._limits), None
        metering.begin()
        try:
            await self._prepare(passage)
            live = LiveStream(self._dispatcher, self._resumer, self._costs, passage)
            await live.open(self._commit_after)
            yield live
        except MeshError as error:
            reword(error, passage)
            passage.error = error
            raise
        finally:
            try:
                if live is not None:
                    await live.close()
            finally:
                settle(passage)
                metering.end(passage)

    async def count(self, request: InferenceRequest) -> inference_pb2.CountTokensResponse:
        """The tokens of a prompt, by whoever would be asked to run it. Raises MeshError."""
        passage = Passage(request, self._limits)
        await self._admit(passage)
        counted = await self._unqueued.count(passage)
        passage.sign(counted)
        return counted

    def explain(self, request: InferenceRequest, prompt_tokens: int = 0) -> Explanation:
        """Where a request would go now, and why not elsewhere. Runs nothing. Raises NOT_READY.

        `prompt_tokens`: counted and not estimated; 0 = not known.
        """
        self._need_snapshot()
        table, requirements = self.table.table, _requirements(request)
        now = self.traffic.look(tenant_of(request.principal))
        if prompt_tokens:
            requirements = replace(requirements, tokens=room(request.operation, prompt_tokens))
        inside, refusal = explain(table, requirements, now), plan(table, requirements, now).refusal
        if refusal is None or refusal.stage != "zone":
            return inside
        way = self._crossings.find(table, request, requirements)
        if way is None:
            return inside
        return replace(explain(way.table, way.requirements, now), zones=inside.zones, scrubbed=True)

    def models(self, principal: Principal | None = None) -> list[ModelRow]:
        """The models a request of somebody can go to now, by id; None = of somebody who may manage them."""
        rows = list_models(self.table.table)
        if principal is None or may_manage(principal):
            return rows
        hidden = self._hidden.of(self.table.table, principal, rows)
        return [row for row in rows if row.id not in hidden]

    def model(self, name: str, principal: Principal) -> ModelRow:
        """The model a request by this name would go to. Raises MODEL_NOT_FOUND."""
        table, row = self.table.table, find_model(self.table.table, name)
        hidden = (
            frozenset[str]()
            if may_manage(principal)
            else self._hidden.of(table, principal, list_models(table))
        )
        if row is not None and hidden.isdisjoint({name, table.resolve(name)}):
            return row
        asked = Requirements(0, name, zones=principal.zones, tenant=principal.tenant)
        unknown = Refusal("model", (), suggestions=similar(table, asked))
        raise refuse(self._sifted(unknown, principal), asked)

    def readiness(self) -> Readiness:
        """Whether requests can be served, and what is missing if not."""
        return readiness(self.table, self._reaches, draining=self._draining.is_set())

    def _reaches(self, endpoint: Endpoint) -> bool:
        return self._has_met(endpoint) and endpoint not in self.traffic.reachability.unreachable

    async def _prepare(self, passage: Passage) -> None:
        """The list, up to where the request leaves this process; what follows is dispatch and the meter."""
        await self._admit(passage)
        if passage.scrubbed is None and counting.in_doubt(passage):
            await self._fit(passage)

    async def _admit(self, passage: Passage) -> None:
        """What everything that sends a prompt anywhere must pass."""
        telemetry.set_request_id(passage.request.request_id)
        await self._authenticate(passage)
        self._permit(passage.request)
        self._require(passage)
        await self._plan(passage)

    async def _authenticate(self, passage: Passage) -> None:
        if passage.request.principal is None:
            passage.request.principal = await self.authenticate(passage.request.credential)

    def _permit(self, request: InferenceRequest) -> None:
        manages = may_manage(request.principal)
        request.granted = granted(request.outline, self._passthrough, manages=manages)

    def _require(self, passage: Passage) -> None:
        passage.requirements = _requirements(passage.request)

    async def _plan_anew(self, passage: Passage) -> None:
        """After a wait: from all that is demanded now, for keys change, and demands that were given up may be kept."""
        if self._authenticator is not None and passage.request.principal is not None:
            passage.request.principal = self._authenticator.again(passage.request.principal)
        counted = passage.requirements.tokens
        passage.requirements = replace(_requirements(passage.request), tokens=counted)
        await self._plan(passage)

    async def _plan(self, passage: Passage) -> None:
        """Chooses who may serve it."""
        self._need_snapshot()
        passage.opened = None
        chosen = plan(
            self.table.table, passage.requirements, self.traffic.conditions(passage.tenant), CANDIDATES
        )
        if chosen.refusal is not None and chosen.refusal.stage == "zone":
            chosen = await self._cross(passage) or chosen
        self._adopt(passage, chosen)

    def _adopt(self, passage: Passage, chosen: Plan) -> None:
        """Goes by a plan. Raises what one without candidates means."""
        if chosen.refusal is not None:
            raise self._refusal(chosen.refusal, passage)
        passage.plan = chosen
        passage.hedge_after = self.table.table.policy.hedge_after(passage.request.model, chosen.model or "")
        limits = self._model_limits
        passage.limits = limits.get(passage.request.model) or limits.get(chosen.model or "", self._limits)

    def _refusal(self, refusal: Refusal, passage: Passage) -> MeshError:
        """What it means, in as many names as who asked may hear."""
        principal, asked = passage.request.principal, passage.request.asked
        return refuse(
            self._sifted(refusal, principal),
            passage.requirements,
            self.traffic.soonest,
            asked,
            full=may_manage(principal),
        )

    def _sifted(self, refusal: Refusal, principal: Principal | None) -> Refusal:
        """The refusal without names that who asked is not to hear of."""
        if may_manage(principal) or not refusal.suggestions:
            return refusal
        known = {row.id for row in self.models(principal)}
        return replace(refusal, suggestions=tuple(each for each in refusal.suggestions if each in known))

    async def _fit(self, passage: Passage) -> None:
        """Plans again when the prompt is too long for the first candidate: for a larger context, or nobody at all.

        Never for one outside the zone: what was to be counted inside is there unscrubbed.
        """
        if needed := await counting.room_missing(self._unqueued, passage):
            passage.requirements = replace(passage.requirements, tokens=needed)
            conditions = self.traffic.conditions(passage.tenant)
            self._adopt(passage, plan(self.table.table, passage.requirements, conditions, CANDIDATES))

    async def _cross(self, passage: Passage) -> Plan | None:
        """Where it may go outside the zone, now scrubbed; None when policy or the lack of others keeps it inside."""
        request = passage.request
        way = self._crossings.find(self.table.table, request, passage.requirements)
        if way is None:
            return None
        chosen = plan(way.table, way.requirements, self.traffic.conditions(passage.tenant), CANDIDATES)
        if chosen.refusal is not None:
            return None
        if passage.scrubbed is None:
            passage.scrubbed = await self._crossings.scrub(request)
        passage.opened, passage.requirements = way.table, way.requirements
        return chosen

    def _need_snapshot(self) -> None:
        if self.table.snapshot is None:
            raise MeshError(
                Reason.NOT_READY,
                "This gateway has not heard from its router yet, so it knows no models. Try again shortly.",
                retry_after=RETRY_AFTER,
            )


def _requirements(request: InferenceRequest) -> Requirements:
    """What routing needs to know of a request."""
    assert request.principal is not None  # noqa: S101 - nothing is planned for nobody
    return Requirements(
        request.operation,
        request.model,
        request.needs,
        request.zones,
        tenant=request.principal.tenant,
        affinity=request.affinity,
    )
