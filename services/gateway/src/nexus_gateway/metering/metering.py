"""What was asked and used, what it costs, and the one line a request leaves in the log."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

import prometheus_client
from nexus.inference.v1 import inference_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, telemetry
from nexus_routing import FREE, Candidate, Operation, names

from nexus_gateway.core import InferenceRequest, Passage, estimate

__all__ = ["RETRIES", "Costs", "begin", "end", "observe", "refused", "settle"]


def settle(passage: Passage) -> None:
    """Gives the passage an estimated usage where content was streamed and there is no better one.

    Backends send about a token a chunk, besides a first chunk and a last one without any.
    """
    if passage.usage is None and passage.chunks:
        tokens = max(1, passage.chunks - 1 - passage.finished)
        prompt = passage.counted or estimate(passage.request)
        passage.usage = inference_pb2.Usage(prompt_tokens=prompt, completion_tokens=tokens)
        passage.estimated = True


FIRST_MEAN = 256.0
"""Tokens of an answer of a model that has not answered yet."""
SHARE = 0.1
"""Of the newest answer in the mean."""
MAXIMUM = ("max_completion_tokens", "max_tokens")
"""What a request calls the most tokens of one choice; the first it has counts."""
KEPT = 1024
"""Models whose mean is remembered."""


class Costs:
    """Knows how long answers of models that cost something are on average."""

    def __init__(self) -> None:
        self._means: dict[str, float] = {}

    def tell(self, passage: Passage) -> None:
        """Writes the cost into `served`, as exactly as it is known by now."""
        if passage.served is not None and passage.candidate is not None:
            passage.served.cost_dollars = self._cost(passage, passage.candidate)

    def learn(self, passage: Passage) -> None:
        """From the usage of a whole answer."""
        usage, candidate = passage.usage, passage.candidate
        if usage is None or candidate is None or candidate.price == FREE:
            return
        model = candidate.model.id
        mean = self._means.pop(model, FIRST_MEAN)
        if len(self._means) >= KEPT:
            del self._means[next(iter(self._means))]
        self._means[model] = mean + SHARE * (usage.completion_tokens - mean)

    def _cost(self, passage: Passage, candidate: Candidate) -> float:
        if candidate.price == FREE:
            return 0.0
        if passage.cost is not None:
            return passage.cost
        prompt = passage.counted or estimate(passage.request)
        return candidate.price.cost(prompt, self._answer_tokens(passage.request, candidate.model.id))

    def _answer_tokens(self, request: InferenceRequest, model: str) -> float:
        if request.operation == model_pb2.OPERATION_EMBEDDING:
            return 0.0
        body = request.outline
        most = next((body[name] for name in MAXIMUM if body.get(name, -1) >= 0), None)
        return self._means.get(model, FIRST_MEAN) if most is None else most * request.answers


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


def end(passage: Passage) -> None:
    """A request ended, however it did."""
    ACTIVE.dec()
    operation, seconds = _name(passage.request.operation), time.monotonic() - passage.started
    _requests(operation, passage.outcome).inc()
    _seconds(operation).observe(seconds)
    if passage.first_content is not None:
        FIRST_TOKEN.labels(operation).observe(passage.first_content)
    if passage.usage is not None:
        PROMPT_TOKENS.inc(passage.usage.prompt_tokens)
        COMPLETION_TOKENS.inc(passage.usage.completion_tokens)
    if passage.cost and passage.candidate is not None:
        _cost(passage.candidate.model.id, passage.candidate.target.backend).inc(passage.cost)
    for kind, places in (passage.scrubbed or {}).items():
        SCRUBBED.labels(kind).inc(places)
    _write_line(passage, operation, seconds)


def refused(operation: int, error: MeshError) -> None:
    """A request was turned away before it began."""
    _requests(_name(operation), error.reason.value.lower()).inc()


def _write_line(passage: Passage, operation: str, seconds: float) -> None:
    served, usage, principal = passage.served, passage.usage, passage.request.principal
    log.info(
        "request",
        operation=operation,
        outcome=passage.outcome,
        detail=passage.error.message if passage.error else None,
        stream=passage.request.stream,
        model=passage.request.model[:128],
        served_model=served.model if served else None,
        backend=served.backend if served else None,
        instance=served.instance if served else None,
        attempts=passage.attempts,
        resumed=passage.resumed or None,
        seconds=round(seconds, 4),
        waited_seconds=round(passage.waited, 4),
        first_content_seconds=None if passage.first_content is None else round(passage.first_content, 4),
        prompt=usage.prompt_tokens if usage else None,
        completion=usage.completion_tokens if usage else None,
        estimated=passage.estimated or None,
        cost_dollars=None if passage.cost is None else round(passage.cost, 8),
        principal=principal.id if principal else None,
        tenant=principal.tenant if principal else None,
        scrubbed=None if passage.scrubbed is None else dict(passage.scrubbed),
    )


@lru_cache(maxsize=16)
def _name(operation: int) -> str:
    return names(Operation, (operation,))
