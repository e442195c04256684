"""What was asked and used, what it costs, and the one line a request leaves in the log."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

import prometheus_client
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, telemetry
from nexus_operations import Spec, Unit, spec_of
from nexus_routing import FREE, Candidate

from nexus_gateway.core import InferenceRequest, RequestContext

__all__ = ["RETRIES", "Costs", "begin", "end", "estimate_usage", "observe", "refused"]


def estimate_usage(context: RequestContext) -> None:
    """Gives the context an estimated usage where content was streamed and there is no better one.

    Backends send about a token a chunk, besides a first chunk and a last one without any.
    """
    if context.outcome.usage is None and context.outcome.chunks and context.request.spec.generates:
        tokens = max(1, context.outcome.chunks - 1 - context.outcome.finished)
        prompt = context.counted or context.request.prompt.tokens
        context.outcome.usage = inference_pb2.Usage(prompt_tokens=prompt, completion_tokens=tokens)
        context.outcome.estimated = True


FIRST_MEAN = 256.0
"""Tokens of an answer of a model that has not answered yet."""
SHARE = 0.1
"""Of the newest answer in the mean."""
KEPT = 1024
"""Models whose mean is remembered."""


class Costs:
    """Knows how long answers of models that cost something are on average."""

    def __init__(self) -> None:
        self._means: dict[str, float] = {}

    def tell(self, context: RequestContext) -> None:
        """Writes the cost into `served` as exactly as it is known by now, and none where it can not be."""
        if context.served is None or context.candidate is None:
            return
        cost = self._cost(context, context.candidate)
        if cost is not None:
            context.served.cost_dollars = cost

    def learn(self, context: RequestContext) -> None:
        """From the usage of a whole answer."""
        usage, candidate = context.outcome.usage, context.candidate
        if usage is None or candidate is None or candidate.price == FREE:
            return
        model = candidate.model.id
        mean = self._means.pop(model, FIRST_MEAN)
        if len(self._means) >= KEPT:
            del self._means[next(iter(self._means))]
        self._means[model] = mean + SHARE * (usage.completion_tokens - mean)

    def _cost(self, context: RequestContext, candidate: Candidate) -> float | None:
        if candidate.price == FREE:
            return 0.0
        if context.cost is not None:
            return context.cost
        if Unit.PROMPT_TOKENS not in context.request.spec.units:
            return None
        prompt = context.counted or context.request.prompt.tokens
        answer = self._answer_tokens(context.request, candidate.model.id)
        return candidate.price.cost({Unit.PROMPT_TOKENS: prompt, Unit.COMPLETION_TOKENS: answer})

    def _answer_tokens(self, request: InferenceRequest, model: str) -> float:
        most = request.spec.most(request.outline)
        return self._means.get(model, FIRST_MEAN) if most is None or most < 0 else most * request.answers


log = telemetry.logger("requests")
LONG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

REQUESTS = prometheus_client.Counter(
    "nexus_gateway_requests_total", "Requests ended, by operation and outcome.", ["operation", "outcome"]
)
SECONDS = prometheus_client.Histogram(
    "nexus_gateway_request_seconds",
    "From authentication to the end of the answer.",
    ["operation"],
    buckets=LONG,
)
FIRST_TOKEN = prometheus_client.Histogram(
    "nexus_gateway_first_token_seconds",
    "From authentication to a stream's first content.",
    ["operation"],
    buckets=LONG,
)
TOKENS = prometheus_client.Counter(
    "nexus_gateway_tokens_total",
    "Tokens as backends report them; of cut and abandoned streams by their chunks.",
    ["kind"],
)
UNITS = prometheus_client.Counter(
    "nexus_gateway_units_total", "What work is counted in beside tokens, as backends report it.", ["unit"]
)
PROMPT_TOKENS, COMPLETION_TOKENS = TOKENS.labels("prompt"), TOKENS.labels("completion")
COST = prometheus_client.Counter(
    "nexus_cost_dollars",
    "US dollars by the policy's prices and the usage of answers.",
    ["model", "backend"],
)
ACTIVE = prometheus_client.Gauge("nexus_gateway_active_requests", "Requests running now.")
RETRIES = prometheus_client.Counter(
    "nexus_gateway_retries_total",
    "Attempts on a further candidate, by the reason the one before failed.",
    ["reason"],
)
SCRUBBED = prometheus_client.Counter(
    "nexus_gateway_scrubbed_total", "Places replaced in requests that left their privacy zone.", ["kind"]
)
UNREACHABLE = prometheus_client.Gauge(
    "nexus_gateway_unreachable_instances", "Instances without a connection."
)
BREAKERS_OPEN = prometheus_client.Gauge(
    "nexus_gateway_breakers_open",
    "Targets that get nothing, or one request to prove themselves, for failing.",
)
SNAPSHOT_AGE = prometheus_client.Gauge(
    "nexus_gateway_snapshot_age_seconds", "Since the router was last heard; 0 while its watch is open."
)

TOKENS_ALONE = frozenset({Unit.PROMPT_TOKENS, Unit.COMPLETION_TOKENS})

# Looking a child up costs more than counting in it; operations and outcomes are few.
_requests = lru_cache(maxsize=256)(REQUESTS.labels)
_seconds = lru_cache(maxsize=16)(SECONDS.labels)
_cost = lru_cache(maxsize=1024)(COST.labels)


def observe(
    snapshot_age: Callable[[], float], unreachable: Callable[[], float], breakers_open: Callable[[], float]
) -> None:
    """Where the gauges of the gateway's own knowledge are read from."""
    BREAKERS_OPEN.set_function(breakers_open)
    SNAPSHOT_AGE.set_function(snapshot_age)
    UNREACHABLE.set_function(unreachable)


def begin() -> None:
    """A request came in. Every begin() is followed by one end()."""
    ACTIVE.inc()


def end(context: RequestContext) -> None:
    """A request ended, however it did."""
    ACTIVE.dec()
    outcome = context.outcome
    operation, seconds = context.request.spec.name, time.monotonic() - context.started
    _requests(operation, outcome.name).inc()
    _seconds(operation).observe(seconds)
    if outcome.first_content is not None:
        FIRST_TOKEN.labels(operation).observe(outcome.first_content)
    if outcome.usage is not None:
        PROMPT_TOKENS.inc(outcome.usage.prompt_tokens)
        COMPLETION_TOKENS.inc(outcome.usage.completion_tokens)
        for unit, used in _units(context.request.spec, outcome.usage).items():
            UNITS.labels(unit).inc(used)
    if context.cost and context.candidate is not None:
        _cost(context.candidate.model.id, context.candidate.target.backend).inc(context.cost)
    for kind, places in (context.scrubbed or {}).items():
        SCRUBBED.labels(kind).inc(places)
    _write_line(context, operation, seconds)


def _units(spec: Spec, usage: inference_pb2.Usage) -> dict[str, float]:
    """What was used of the units that are no tokens."""
    if spec.units <= TOKENS_ALONE:
        return {}
    units = (unit.value for unit in spec.units - TOKENS_ALONE)
    return {unit: getattr(usage, unit) for unit in units if usage.HasField(unit)}  # type: ignore[arg-type]


def refused(operation: int, error: MeshError) -> None:
    """A request was turned away before it began."""
    _requests(spec_of(operation).name, error.reason.value.lower()).inc()


def _write_line(context: RequestContext, operation: str, seconds: float) -> None:
    outcome, served, principal = context.outcome, context.served, context.request.principal
    usage, first = outcome.usage, outcome.first_content
    log.info(
        "request",
        operation=operation,
        outcome=outcome.name,
        detail=outcome.error.message if outcome.error else None,
        stream=context.request.stream,
        model=context.request.model[:128],
        served_model=served.model if served else None,
        backend=served.backend if served else None,
        instance=served.instance if served else None,
        attempts=context.attempts,
        resumed=context.resumed or None,
        seconds=round(seconds, 4),
        waited_seconds=round(context.waited, 4),
        first_content_seconds=None if first is None else round(first, 4),
        prompt=usage.prompt_tokens if usage else None,
        completion=usage.completion_tokens if usage else None,
        units=(_units(context.request.spec, usage) or None) if usage else None,
        estimated=outcome.estimated or None,
        cost_dollars=None if context.cost is None else round(context.cost, 8),
        principal=principal.id,
        tenant=principal.tenant,
        scrubbed=None if context.scrubbed is None else dict(context.scrubbed),
    )
