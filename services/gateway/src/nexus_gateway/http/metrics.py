"""What the edge counts. Labels are the route table's own names: never a path, a model or a key."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

__all__ = [
    "EVICTED",
    "STREAMS_ACTIVE",
    "WRONG_KEYS",
    "count_refused",
    "count_stream_failure",
    "observe",
]

STREAMS_ACTIVE = Gauge("nexus_gateway_http_streams_active", "Event streams being sent now.")
WRONG_KEYS = Counter(
    "nexus_gateway_http_wrong_keys_total", "Wrong API keys, by how they were answered.", ["status"]
)
EVICTED = Counter("nexus_gateway_http_evicted_total", "Idle connections closed to make room for others.")
_REQUESTS = Counter(
    "nexus_gateway_http_requests_total",
    "Requests answered; status 499 = the client left first.",
    ["route", "status"],
)
_SECONDS = Histogram(
    "nexus_gateway_http_request_seconds",
    "From the request's head to the end of its answer.",
    ["route"],
    buckets=(0.005, 0.02, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800),
)
_FAILED_STREAMS = Counter(
    "nexus_gateway_http_streams_failed_total", "Event streams that ended with an error event.", ["code"]
)
_REFUSED = Counter(
    "nexus_gateway_http_refused_total", "Connections refused before they made a request.", ["code"]
)


# Looking a child up costs more than counting in it; routes and statuses are few.
_requests = lru_cache(maxsize=512)(_REQUESTS.labels)
_seconds = lru_cache(maxsize=64)(_SECONDS.labels)


def observe(route: str, status: int, seconds: float) -> None:
    _requests(route, status).inc()
    _seconds(route).observe(seconds)


def count_stream_failure(code: str) -> None:
    _FAILED_STREAMS.labels(code).inc()


def count_refused(code: str) -> None:
    _REFUSED.labels(code).inc()
