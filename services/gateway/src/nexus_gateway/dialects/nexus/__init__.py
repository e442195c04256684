"""NEXUS's own API: managing models, what can be asked of them, where a request would go, who asks, whether all is well,
and the front page."""

from __future__ import annotations

from typing import Protocol

from nexus_gateway.dialects.dialect import Dialect, reading
from nexus_gateway.dialects.errors import error_body
from nexus_gateway.dialects.nexus.described import (
    ALIVE,
    EXPLAIN,
    FLEET,
    FRONT,
    MANAGE,
    ME,
    METADATA,
    METRICS,
    READY,
)
from nexus_gateway.dialects.nexus.explain import Explains, explain_handler
from nexus_gateway.dialects.nexus.front import Listed, front_page
from nexus_gateway.dialects.nexus.health import HealthRoutes, Ready
from nexus_gateway.dialects.nexus.lifecycle import LifecycleRoutes, Lifecycles
from nexus_gateway.dialects.nexus.me import me_handler
from nexus_gateway.dialects.nexus.metadata import Metadata, MetadataRoutes
from nexus_gateway.dialects.nexus.openapi import openapi_row
from nexus_gateway.http import EdgeOptions, Row
from nexus_gateway.intake import Intake

__all__ = ["NexusPipeline", "nexus_dialect", "openapi_row"]

ROOT = ("",)
LIVE_PATHS = ("/healthz", "/health", "/livez")
"""One answer by the names that probes ask for."""


class NexusPipeline(Explains, Lifecycles, Metadata, Listed, Ready, Protocol):
    """What this dialect asks of the rest of the gateway."""


def nexus_dialect(pipeline: NexusPipeline, intake: Intake, options: EdgeOptions) -> Dialect:
    health, lifecycle = HealthRoutes(pipeline, full=not options.needs_key), LifecycleRoutes(pipeline, options)
    metadata = MetadataRoutes(pipeline)
    page = reading(front_page(pipeline, needs_key=options.needs_key))
    rows = [
        Row("page", "/", page, public=True, prefixes=ROOT, calls=FRONT),
        Row("page", "/v1", page, public=True, prefixes=ROOT, calls=FRONT),
        Row("me", "/me", reading(me_handler(pipeline)), calls=ME),
        Row("metadata", "/metadata", reading(metadata.fleet), calls=FLEET),
        Row("metadata_model", "/metadata/{model_id:path}", reading(metadata.one), calls=METADATA),
        Row("explain", "/route/explain", {"POST": explain_handler(pipeline, intake)}, calls=EXPLAIN),
        Row(
            "model",
            "/models/{model_id:path}",
            {"POST": lifecycle.act, "DELETE": lifecycle.delete},
            calls=MANAGE,
        ),
        *(
            Row("healthz", path, reading(health.healthz), public=True, prefixes=ROOT, calls=ALIVE)
            for path in LIVE_PATHS
        ),
        Row("readyz", "/readyz", reading(health.readyz), public=True, prefixes=ROOT, calls=READY),
    ]
    if options.expose_metrics:
        rows.append(
            Row("metrics", "/metrics", reading(health.metrics), public=True, prefixes=ROOT, calls=METRICS)
        )
    return Dialect(rows, error_body)
