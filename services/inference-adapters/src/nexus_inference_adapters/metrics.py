"""What the adapter counts; labels are backends and closed vocabularies only."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

__all__ = ["ACTIVE", "FIRST_CONTENT", "REQUESTS", "SECONDS", "TOKENS", "UP"]

BUCKETS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600)

REQUESTS = Counter(
    "nexus_adapter_requests_total", "Requests ended, by outcome.", ["backend", "operation", "outcome"]
)
TOKENS = Counter("nexus_adapter_tokens_total", "Tokens by the backend's own count.", ["backend", "direction"])
ACTIVE = Gauge("nexus_adapter_active_requests", "Requests running at a backend.", ["backend"])
UP = Gauge("nexus_adapter_backend_up", "Whether a backend answers.", ["backend"])
SECONDS = Histogram("nexus_adapter_request_seconds", "Time a request took.", ["backend"], buckets=BUCKETS)
FIRST_CONTENT = Histogram(
    "nexus_adapter_first_content_seconds", "Time to a stream's first content.", ["backend"], buckets=BUCKETS
)
