"""What the adapter counts; labels are backends and closed vocabularies only."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

__all__ = ["UP", "active", "first_content", "requests", "seconds", "tokens"]

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

# Looking a child up costs more than counting in it; backends, operations and outcomes are few.
requests = lru_cache(maxsize=4096)(REQUESTS.labels)
tokens = lru_cache(maxsize=1024)(TOKENS.labels)
active = lru_cache(maxsize=512)(ACTIVE.labels)
seconds = lru_cache(maxsize=512)(SECONDS.labels)
first_content = lru_cache(maxsize=512)(FIRST_CONTENT.labels)
