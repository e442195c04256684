"""The steps of a request around the asking of a target, each as a pair: on the way down, and up again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from enum import Flag, auto
from typing import ClassVar

from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_mesh.settings import Timeouts
from nexus_routing import Plan, Requirements, Table, plan

from nexus_gateway.access import ANONYMOUS, Authenticator, Principal
from nexus_gateway.admission import Admission
from nexus_gateway.core import CANDIDATES, InferenceRequest, RequestContext
from nexus_gateway.dispatch import Dispatcher
from nexus_gateway.fetching import Fetching
from nexus_gateway.files import NO_STORE, FileStore
from nexus_gateway.fleet import Bulkheads, RoutingTable, Traffic
from nexus_gateway.metering import begin, end, estimate_usage
from nexus_gateway.pipeline.naming import Names
from nexus_gateway.scrubbing import ZoneExits
from nexus_gateway.validation import granted

__all__ = [
    "WAYS",
    "Admit",
    "Authenticate",
    "Choose",
    "Cross",
    "Decide",
    "Fetch",
    "Fit",
    "Keep",
    "Meter",
    "Permit",
    "Require",
    "Scrub",
    "Step",
    "Way",
    "requirements_of",
]


class Way(Flag):
    """What is wanted of the pipeline."""

    COMPLETE = auto()
    STREAM = auto()
    COUNT = auto()
    EXPLAIN = auto()
    RUN = COMPLETE | STREAM
    """An answer."""
    SEND = RUN | COUNT
    """The prompt leaves this process."""
    ALL = SEND | EXPLAIN


WAYS = (Way.COMPLETE, Way.STREAM, Way.COUNT, Way.EXPLAIN)


class Step:
    """`ways`: those it is part of. `late`: it may take long, and does so while a stream's status is held back."""

    ways: ClassVar[Way] = Way.ALL
    late: ClassVar[bool] = False

    async def start(self, context: RequestContext) -> None:
        """Raises MeshError for what must not go on."""

    async def again(self, context: RequestContext) -> None:
        """After a wait, for what was true before it may not be any more. Raises as `start`."""

    def end(self, context: RequestContext) -> None:
        """Whatever happened since `start` succeeded; of several, the last that started comes first."""


class Meter(Step):
    """Counts every request that asks for an answer, and writes its line."""

    ways: ClassVar[Way] = Way.RUN

    async def start(self, context: RequestContext) -> None:  # noqa: ARG002 - as every step
        begin()

    def end(self, context: RequestContext) -> None:
        estimate_usage(context)
        end(context)


class Authenticate(Step):
    """`authenticator` None = open: whoever gets here may use every model."""

    def __init__(self, authenticator: Authenticator | None) -> None:
        self._authenticator = authenticator

    async def identify(self, credential: str | None) -> Principal:
        """Whose credential it is. Raises CALLER_KEY or AUTH_UNAVAILABLE."""
        return (
            ANONYMOUS if self._authenticator is None else await self._authenticator.authenticate(credential)
        )

    async def start(self, context: RequestContext) -> None:
        telemetry.set_request_id(context.request.request_id)

    async def again(self, context: RequestContext) -> None:
        """Keys change, and tenants."""
        principal = context.request.principal
        if principal.again is not None:
            context.request.principal = principal.again()
        elif self._authenticator is not None:
            context.request.principal = self._authenticator.again(principal)


class Permit(Step):
    """Lets parameters that are on no table through to those who may send them."""

    ways: ClassVar[Way] = Way.SEND

    def __init__(self, passthrough: Collection[str]) -> None:
        self._passthrough = frozenset(passthrough)

    async def start(self, context: RequestContext) -> None:
        request = context.request
        request.granted = granted(request.outline, self._passthrough, manages=request.principal.manage)


RETRY_AFTER = 1.0
COUNT_SECONDS = 1.0
"""For a count that only says where to go."""


class Require(Step):
    """Says what routing needs to know of a request. `room` of the context is what was counted of it."""

    async def start(self, context: RequestContext) -> None:
        request = context.request
        context.requirements = requirements_of(request, context.room)

    again = start


class Choose(Step):
    """Plans on the newest table."""

    def __init__(self, table: RoutingTable, traffic: Traffic) -> None:
        self._table = table
        self._traffic = traffic

    async def start(self, context: RequestContext) -> None:
        if self._table.snapshot is None:
            raise MeshError(
                Reason.NOT_READY,
                "This gateway has not heard from its router yet, so it knows no models. Try again shortly.",
                retry_after=RETRY_AFTER,
            )
        context.plan = self.plan(self._table.table, context, context.requirements)

    again = start

    def plan(self, table: Table, context: RequestContext, requirements: Requirements) -> Plan:
        """Takes a turn, unless nothing is to be sent."""
        conditions = self._traffic.look if context.dry else self._traffic.conditions
        return plan(table, requirements, conditions(context.tenant), CANDIDATES)


class Cross(Step):
    """Looks for the way out of a zone in which nobody offers the model, where policy allows one."""

    def __init__(self, table: RoutingTable, choose: Choose, exits: ZoneExits) -> None:
        self._table = table
        self._choose = choose
        self._exits = exits

    async def start(self, context: RequestContext) -> None:
        context.opened, refusal = None, context.chosen.refusal
        if refusal is None or refusal.stage != "zone":
            return
        way = self._exits.find(self._table.table, context.request, context.requirements)
        if way is None:
            return
        chosen = self._choose.plan(way.table, context, way.requirements)
        if chosen.refusal is None or context.dry:
            context.opened, context.requirements, context.plan = way.table, way.requirements, chosen

    again = start


class Decide(Step):
    """Goes by the plan. Raises what one without candidates means, in as many names as who asked may hear."""

    ways: ClassVar[Way] = Way.SEND

    def __init__(
        self, table: RoutingTable, names: Names, limits: Timeouts, model_limits: Mapping[str, Timeouts]
    ) -> None:
        self._table = table
        self._names = names
        self._limits = limits
        self._model_limits = model_limits

    async def start(self, context: RequestContext) -> None:
        chosen, asked = context.chosen, context.request.model
        if chosen.refusal is not None:
            raise self._names.refusal(chosen.refusal, context)
        policy = self._table.table.policy
        context.hedge_after = policy.hedge_after(asked, chosen.model or "")
        context.may_resume = policy.may_resume(asked, chosen.model or "")
        own = self._model_limits
        context.limits = own.get(asked) or own.get(chosen.model or "", self._limits)

    again = start


class Scrub(Step):
    """Takes out of a request that leaves its zone what must not leave it."""

    ways: ClassVar[Way] = Way.SEND

    def __init__(self, exits: ZoneExits) -> None:
        self._exits = exits

    async def start(self, context: RequestContext) -> None:
        if context.opened is not None and context.scrubbed is None:
            context.scrubbed = await self._exits.scrub(context.request)

    again = start


class Fetch(Step):
    """Puts images into the request that it names by URL, once it is known that somebody may see them."""

    ways: ClassVar[Way] = Way.SEND

    def __init__(self, fetching: Fetching) -> None:
        self._fetching = fetching

    async def start(self, context: RequestContext) -> None:
        if context.request.links:
            await self._fetching.inline(context.request)


class Keep(Step):
    """Sees that there is a place for what is to be kept, before it is made."""

    ways: ClassVar[Way] = Way.RUN

    def __init__(self, files: FileStore) -> None:
        self._files = files

    async def start(self, context: RequestContext) -> None:
        if not context.request.keeps:
            return
        zone = await self._files.zone()
        if zone is None:
            raise MeshError(
                Reason.UNSUPPORTED_PARAMETER,
                f"'response_format' is not supported as 'url': {NO_STORE}. Leave it out, or send 'b64_json': what is "
                "made then stands in the answer.",
                metadata={"param": "response_format"},
            )
        if outside := sorted(context.chosen.zones - {zone}):
            raise MeshError(
                Reason.PRIVACY_ZONE,
                f"What is made for this request must stay in zone {outside[0]}, and the store is in {zone}. Nothing "
                "was sent anywhere. Leave 'response_format' out: what is made then stands in the answer.",
                metadata={"param": "response_format", "zone": outside[0]},
            )


class Fit(Step):
    """Plans again when the prompt is too long for the first candidate: for a larger context, or nobody at all.

    Never for one outside the zone: what was to be counted inside is there unscrubbed.
    """

    ways: ClassVar[Way] = Way.RUN

    def __init__(self, table: RoutingTable, dispatcher: Dispatcher, choose: Choose, decide: Decide) -> None:
        self._table = table
        self._dispatcher = dispatcher  # to count a prompt takes no place
        self._choose = choose
        self._decide = decide

    async def start(self, context: RequestContext) -> None:
        if context.scrubbed is not None or not context.may_be_too_long:
            return
        if needed := await self._room_missing(context):
            context.room = needed
            context.requirements = requirements_of(context.request, needed)
            context.plan = self._choose.plan(self._table.table, context, context.requirements)
            await self._decide.start(context)

    async def _room_missing(self, context: RequestContext) -> int:
        """The context it needs if the first candidate counts more than it has; 0 when it fits or nobody counted.

        An estimate says nothing: then the backend decides when it reads the prompt.
        """
        candidate = context.chosen.candidates[0]
        try:
            counted = await self._dispatcher.count_at(context, candidate, COUNT_SECONDS)
        except MeshError:
            return 0
        context.counted = counted.prompt_tokens
        needed = 0 if counted.estimated else counted.prompt_tokens + context.request.spec.generates
        return needed if needed > candidate.model.context_tokens else 0


def requirements_of(request: InferenceRequest, tokens: int = 0) -> Requirements:
    """`tokens`: of context, counted and not guessed; 0 = not known."""
    return Requirements(
        request.operation,
        request.model,
        request.needs,
        request.zones,
        tenant=request.principal.tenant,
        tokens=tokens,
        affinity=request.affinity,
    )


class Admit(Step):
    """From here to the start of the ride nothing else may run, so that nobody else gets the place meanwhile."""

    ways: ClassVar[Way] = Way.RUN
    late: ClassVar[bool] = True

    def __init__(
        self,
        places: Bulkheads[object],
        admission: Admission,
        again: Callable[[RequestContext], Awaitable[None]],
    ) -> None:
        """`again` has the steps before look anew."""
        self._places = places
        self._admission = admission
        self._again = again

    async def start(self, context: RequestContext) -> None:
        if not self._places.full or not (targets := self._admission.blocked(context)):
            return
        with self._admission.waiting(context, targets) as wait:
            while targets:
                with await wait.turn(targets) as kept:
                    await self._again(context)
                targets = wait.left(kept)
