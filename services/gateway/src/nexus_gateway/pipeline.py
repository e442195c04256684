"""What happens to a request, whatever it came by, as one literal list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus_mesh import telemetry
from nexus_mesh.errors import MeshError, Reason
from nexus_routing import Requirements, plan

from nexus_gateway import metering
from nexus_gateway.dispatch import Dispatcher
from nexus_gateway.limits import TimeLimits
from nexus_gateway.live_stream import LiveStream
from nexus_gateway.models import ModelRow, list_models
from nexus_gateway.passage import Passage
from nexus_gateway.principals import ANONYMOUS, Authenticator, Principal
from nexus_gateway.readiness import Readiness, readiness
from nexus_gateway.refusals import refuse
from nexus_gateway.request import InferenceRequest
from nexus_gateway.routing_table import RoutingTable
from nexus_gateway.traffic import Traffic

__all__ = ["Pipeline"]

CANDIDATES = 3
RETRY_AFTER = 1.0

Step = Callable[[Passage], Awaitable[None]]
encode = msgspec.json.Encoder().encode


class Pipeline:
    """Knows neither HTTP nor gRPC servers. `authenticator` None = open: whoever gets here may use every model."""

    def __init__(
        self,
        table: RoutingTable,
        traffic: Traffic,
        dispatcher: Dispatcher,
        authenticator: Authenticator | None,
        *,
        limits: TimeLimits,
        model_limits: Mapping[str, TimeLimits],
        commit_after: float,
        draining: asyncio.Event,
    ) -> None:
        self.table = table
        self.traffic = traffic
        self._dispatcher = dispatcher
        self._authenticator = authenticator
        self._limits = limits
        self._model_limits = model_limits
        self._commit_after = commit_after
        self._draining = draining

    async def authenticate(self, credential: str | None) -> Principal:
        """Whose credential it is. Raises CALLER_KEY or AUTH_UNAVAILABLE."""
        return (
            ANONYMOUS if self._authenticator is None else await self._authenticator.authenticate(credential)
        )

    async def complete(self, request: InferenceRequest) -> inference_pb2.CompleteResponse:
        """The whole answer. Raises MeshError; cancelling cancels the backend."""
        response = inference_pb2.CompleteResponse()

        async def dispatch(passage: Passage) -> None:
            response.MergeFrom(await self._dispatcher.complete(passage))
            if not response.HasField("served") and passage.served is not None:
                response.served.CopyFrom(passage.served)
            passage.served, passage.finished = response.served, True
            passage.usage = response.usage if response.HasField("usage") else None

        async with self._run(request, dispatch):
            return response

    @asynccontextmanager
    async def stream(
        self, request: InferenceRequest
    ) -> AsyncIterator[AsyncIterator[inference_pb2.StreamResponse]]:
        """The answer as it is made.

        Entering waits for the first content, at most `commit_after` seconds, and raises what failed until then.
        Later failures are raised by the iterator, which ends by itself only after `finish`. The first message has
        `served`. Leaving cancels the backend.
        """
        opened: list[LiveStream] = []

        async def dispatch(passage: Passage) -> None:
            opened.append(LiveStream(self._dispatcher, passage))
            await opened[0].open(self._commit_after)

        try:
            async with self._run(request, dispatch):
                yield opened[0]
        finally:
            for live in opened:
                await live.close()

    def models(self) -> list[ModelRow]:
        """The models a request can go to now, by id."""
        return list_models(self.table.table)

    def readiness(self) -> Readiness:
        """Whether requests can be served, and what is missing if not."""
        return readiness(self.table, draining=self._draining.is_set())

    @asynccontextmanager
    async def _run(self, request: InferenceRequest, dispatch: Step) -> AsyncIterator[None]:
        """The list, and whatever happens, the meter."""
        passage = Passage(request, self._limits)
        steps: tuple[Step, ...] = (
            self._correlate,
            self._authenticate,
            self._require,
            self._plan,
            dispatch,
        )
        metering.begin()
        try:
            for step in steps:
                await step(passage)
            yield
        except MeshError as error:
            passage.error = error
            raise
        finally:
            metering.end(passage)

    async def _correlate(self, passage: Passage) -> None:
        telemetry.set_request_id(passage.request.request_id)

    async def _authenticate(self, passage: Passage) -> None:
        if passage.request.principal is None:
            passage.request.principal = await self.authenticate(passage.request.credential)

    async def _require(self, passage: Passage) -> None:
        request = passage.request
        passage.requirements = Requirements(request.operation, request.model, request.needs)

    async def _plan(self, passage: Passage) -> None:
        """Chooses who may serve it, and writes the body they get: under the model's own name, not an alias."""
        if self.table.snapshot is None:
            raise MeshError(
                Reason.NOT_READY,
                "This gateway has not heard from its router yet, so it knows no models. Try again shortly.",
                retry_after=RETRY_AFTER,
            )
        request, requirements = passage.request, passage.requirements
        chosen = plan(self.table.table, requirements, self.traffic.conditions(), CANDIDATES)
        if chosen.refusal is not None:
            raise refuse(chosen.refusal, requirements)
        assert chosen.model is not None  # noqa: S101 - a plan with candidates has one
        passage.plan = chosen
        passage.limits = self._model_limits.get(request.model) or self._model_limits.get(
            chosen.model, self._limits
        )
        passage.body = encode({**request.body, "model": chosen.model}).decode()
