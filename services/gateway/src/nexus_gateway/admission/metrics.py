"""What is counted of those who wait."""

from __future__ import annotations

import prometheus_client

__all__ = ["REFUSALS", "WAITED", "WAITING"]

WAITING = prometheus_client.Gauge("nexus_gateway_queue_length", "Requests waiting for a place now.")
WAITED = prometheus_client.Histogram(
    "nexus_gateway_queue_wait_seconds",
    "Waited for a place, however it ended, by those who had to.",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
REFUSALS = prometheus_client.Counter(
    "nexus_gateway_queue_refusals_total",
    "Requests that got no place: eta (it would have taken too long), full, timeout, displaced, draining.",
    ["why"],
)
