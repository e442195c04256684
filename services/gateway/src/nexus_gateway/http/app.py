"""The route table of the edge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from nexus_operations import SPECS, Spec
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from nexus_gateway.http.endpoint import Endpoint, Handler
from nexus_gateway.http.errors import unknown_url
from nexus_gateway.http.exchange import Exchange
from nexus_gateway.http.explain import Explains, explain_handler
from nexus_gateway.http.guard import HostGuard
from nexus_gateway.http.health import HealthRoutes, Ready
from nexus_gateway.http.inference import Inference, inference_handler
from nexus_gateway.http.lifecycle import LifecycleRoutes, Lifecycles
from nexus_gateway.http.models import Catalog, ModelRoutes
from nexus_gateway.http.options import EdgeOptions, Limits
from nexus_gateway.http.origins import Origins
from nexus_gateway.http.page import front_page
from nexus_gateway.http.strangers import Strangers
from nexus_gateway.intake import BodyBudget, Intake
from nexus_gateway.validation import CHECKS

PREFIXES = ("/v1", "")
"""Clients are configured with and without /v1; both work."""
SLASHES = re.compile("/{2,}")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Pipeline(Inference, Explains, Catalog, Lifecycles, Ready, Protocol):
    """What the edge asks of the rest of the gateway."""

    async def authenticate(self, credential: str | None) -> Any: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One URL. `name` labels its metrics; a public row is served without asking who calls."""

    name: str
    path: str
    handlers: Mapping[str, Handler]
    public: bool = False
    prefixes: tuple[str, ...] = PREFIXES


def open_intake(limits: Limits) -> Intake:
    """Room for bodies, as the limits have it."""
    return Intake(BodyBudget(limits.bodies_bytes, limits.tenant_share, limits.body_wait_seconds))


def build_app(
    pipeline: Pipeline, options: EdgeOptions | None = None, intake: Intake | None = None
) -> ASGIApp:
    """The edge as an ASGI application. What it answers is always the OpenAI envelope or an OpenAI object.

    `intake`: shared with other doors.
    """
    options = options or EdgeOptions()
    taken_in = intake or open_intake(options.limits)
    guard = HostGuard(options.allowed_hosts)
    origins = Origins(options.origins, refuses=not options.needs_key)

    strangers = Strangers()

    def endpoint(row: Row) -> Endpoint:
        return Endpoint(
            row.name,
            row.handlers,
            guard=guard,
            origins=origins,
            bodies=taken_in.bodies,
            strangers=strangers,
            authenticate=None if row.public else pipeline.authenticate,
        )

    routes = [
        Route(prefix + row.path, endpoint(row))
        for row in _rows(pipeline, options, taken_in)
        for prefix in row.prefixes
    ]
    unknown = Row("unknown", "", dict.fromkeys(METHODS, _unknown_url), public=True)
    return SlashRouter(routes, redirect_slashes=False, default=endpoint(unknown))


class SlashRouter(Router):
    """Slashes that are doubled, or stand at the end, mean nothing: base URLs are joined with paths by people."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if "//" in path or path.endswith("/"):
            scope["path"] = SLASHES.sub("/", path).rstrip("/") or "/"
        await super().__call__(scope, receive, send)


def _rows(pipeline: Pipeline, options: EdgeOptions, intake: Intake) -> list[Row]:
    def inference(spec: Spec) -> Row:
        handler = inference_handler(pipeline, spec.number, intake, options.keep_alive_comment_seconds)
        return Row(spec.path[1:].replace("/", "_"), spec.path, {"POST": handler})

    models, health = ModelRoutes(pipeline), HealthRoutes(pipeline, full=not options.needs_key)
    lifecycle = LifecycleRoutes(pipeline, options)
    one_model = {**_reading(models.retrieve), "POST": lifecycle.act, "DELETE": lifecycle.delete}
    page = _reading(front_page(needs_key=options.needs_key))
    rows = [
        Row("page", "/", page, public=True, prefixes=("",)),
        Row("page", "/v1", page, public=True, prefixes=("",)),
        *(inference(spec) for number, spec in SPECS.items() if number in CHECKS),
        Row("explain", "/route/explain", {"POST": explain_handler(pipeline, intake)}),
        Row("models", "/models", _reading(models.list)),
        Row("model", "/models/{model_id:path}", one_model),
        Row("healthz", "/healthz", _reading(health.healthz), public=True, prefixes=("",)),
        Row("readyz", "/readyz", _reading(health.readyz), public=True, prefixes=("",)),
    ]
    if options.expose_metrics:
        rows.append(Row("metrics", "/metrics", _reading(health.metrics), public=True, prefixes=("",)))
    return rows


def _reading(handler: Handler) -> Mapping[str, Handler]:
    return {"GET": handler, "HEAD": handler}


async def _unknown_url(_: Exchange) -> None:
    raise unknown_url()
