"""What happens to a request, whatever it came by, as one literal list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.settings import Timeouts
from nexus_routing import Endpoint, Explanation, Model, explain

from nexus_gateway.access import Authenticator, Principal
from nexus_gateway.admission import Admission
from nexus_gateway.core import InferenceRequest, RequestContext, reword
from nexus_gateway.dispatch import BackendStream, Dispatcher, LiveStream, Resumer
from nexus_gateway.fetching import Fetching
from nexus_gateway.files import FileStore
from nexus_gateway.fleet import ModelRow, Readiness, RoutingTable, Traffic, readiness
from nexus_gateway.management import Lifecycle
from nexus_gateway.metering import Costs, refused
from nexus_gateway.pipeline.naming import Names
from nexus_gateway.pipeline.several_prompts import is_separable, joined, separated
from nexus_gateway.pipeline.steps import (
    WAYS,
    Admit,
    Authenticate,
    Choose,
    Cross,
    Decide,
    Fetch,
    Fit,
    Keep,
    Meter,
    Permit,
    Require,
    Scrub,
    Step,
    Way,
    requirements_of,
)
from nexus_gateway.scrubbing import ZoneExits
from nexus_gateway.work import LongWork

__all__ = ["Pipeline"]


PASSING = frozenset({Reason.BACKEND_DOWN, Reason.MODEL_NOT_READY, Reason.OVERLOAD})


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
        fetching: Fetching,
        files: FileStore,
        works: LongWork,
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
        self.fetching = fetching
        self.files = files
        self.works = works
        exits = ZoneExits()
        self.names = Names(table, traffic, exits)
        self.authenticate = (authenticate := Authenticate(authenticator)).identify
        choose = Choose(table, traffic)
        decide = Decide(table, self.names, limits, model_limits)
        self.steps: tuple[Step, ...] = (
            Meter(),
            authenticate,
            Permit(passthrough),
            Require(),
            choose,
            Cross(table, choose, exits),
            decide,
            Scrub(exits),
            Fetch(fetching),
            Keep(files),
            Fit(table, dispatcher, choose, decide),
            Admit(traffic.places, admission, self._again),
        )
        # Sorted once: asking each step about each request would cost more than some of them do.
        self._early = {way: tuple(s for s in self.steps if way in s.ways and not s.late) for way in WAYS}
        self._late_ones = {way: tuple(s for s in self.steps if way in s.ways and s.late) for way in WAYS}
        self._dispatcher = dispatcher
        self._go_on = Resumer(table, traffic, dispatcher).go_on
        self._limits = limits
        self._commit_after = commit_after
        self._draining = draining
        self._has_met = has_met
        self._costs = Costs()

    async def complete(self, request: InferenceRequest) -> inference_pb2.CompleteResponse:
        """The whole answer. Raises MeshError; cancelling cancels the backend."""
        try:
            return await self._complete(request)
        except MeshError as error:
            if not is_separable(request, error):
                raise
        return joined([await self._complete(each) for each in separated(request)])

    async def _complete(self, request: InferenceRequest) -> inference_pb2.CompleteResponse:
        context = RequestContext(request, self._limits)
        async with self._through(context, Way.COMPLETE):
            await self._late(context, Way.COMPLETE)
            response = await self._dispatcher.complete(context)
            context.outcome.usage = response.usage if response.HasField("usage") else None
            self._costs.learn(context)
            self._costs.tell(context)
            context.sign(response)
            context.outcome.finished = True
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
        context = RequestContext(request, self._limits)
        async with self._through(context, Way.STREAM):
            live = LiveStream(self._opened(context), self._go_on, self._costs, context)
            try:
                await live.open(self._commit_after)
                yield live
            finally:
                await live.close()

    async def count(self, request: InferenceRequest) -> inference_pb2.CountTokensResponse:
        """The tokens of a prompt, by whoever would be asked to run it. Raises MeshError."""
        context = RequestContext(request, self._limits)
        async with self._through(context, Way.COUNT):
            counted = await self._dispatcher.count(context)
            context.sign(counted)
        return counted

    async def explain(self, request: InferenceRequest, prompt_tokens: int = 0) -> Explanation:
        """Where a request would go now, and why not elsewhere. Runs nothing. Raises NOT_READY.

        `prompt_tokens`: counted and not estimated; 0 = not known.
        """
        context = RequestContext(request, self._limits, dry=True)
        context.room = prompt_tokens + request.spec.generates if prompt_tokens else 0
        async with self._through(context, Way.EXPLAIN):
            now = self.traffic.look(context.tenant)
            inside = explain(self.table.table, requirements_of(request, context.room), now)
            if context.opened is None:
                return inside
            beyond = explain(context.opened, context.requirements, now)
            return replace(beyond, zones=inside.zones, scrubbed=True)

    async def check(self, request: InferenceRequest) -> frozenset[str]:
        """The privacy zones that are demanded of a request that is to be run later. Runs nothing.

        Raises what would keep it from ever being run, and not what may have passed by then.
        """
        context = RequestContext(request, self._limits, dry=True)
        try:
            async with self._through(context, Way.COUNT):
                pass
        except MeshError as error:
            if error.reason not in PASSING:
                raise
        now = self.traffic.look(context.tenant)
        return explain(self.table.table, requirements_of(request), now).zones

    def refused(self, operation: int, error: MeshError) -> None:
        """Counts a request that was turned away before it got here: for its key, or for what it says."""
        refused(operation, error)

    def models(self, principal: Principal | None = None) -> list[ModelRow]:
        """The models a request of somebody can go to now, by id; None = of somebody who may manage them."""
        return self.names.models(principal)

    def model(self, name: str, principal: Principal) -> ModelRow:
        """The model a request by this name would go to. Raises MODEL_NOT_FOUND."""
        return self.names.model(name, principal)

    def offers(self, name: str, principal: Principal) -> dict[int, tuple[Model, ...]]:
        """What backends say of a model, by operation: those alone that requests of somebody can go to."""
        return self.names.offers(name, principal)

    def readiness(self) -> Readiness:
        """Whether requests can be served, and what is missing if not."""
        return readiness(self.table, self._reaches, draining=self._draining.is_set())

    def _reaches(self, endpoint: Endpoint) -> bool:
        return self._has_met(endpoint) and endpoint not in self.traffic.reachability.unreachable

    @asynccontextmanager
    async def _through(self, context: RequestContext, way: Way) -> AsyncIterator[None]:
        """Down the steps of a way that do not take long, and up all of it again."""
        started: list[Step] = []
        try:
            for step in self._early[way]:
                await step.start(context)
                started.append(step)
            yield
        except MeshError as error:
            reword(error, context)
            context.outcome.error = error
            raise
        finally:
            for step in reversed(started):
                step.end(context)

    async def _late(self, context: RequestContext, way: Way) -> None:
        for step in self._late_ones[way]:
            await step.start(context)

    async def _opened(self, context: RequestContext) -> BackendStream:
        await self._late(context, Way.STREAM)
        if context.request.files is not None:
            return await self._dispatcher.open_upload(context)
        return await self._dispatcher.open_stream(context)

    async def _again(self, context: RequestContext) -> None:
        """After a wait: from all that is demanded now, for demands that were given up may be kept."""
        for step in self.steps:
            await step.again(context)
