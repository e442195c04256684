"""GET healthz, readyz, metrics: for probes and scrapers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
from msgspec import Struct
from nexus_mesh.core import JsonObject
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from nexus_gateway.http import Exchange

BACKEND = "backend "
"""How sentences begin that are about a single one."""


class Readiness(Protocol):
    """Whether requests can be served now, and what is missing if not: a dataclass, answered whole."""

    @property
    def ready(self) -> bool: ...
    @property
    def missing(self) -> Sequence[str]: ...


class Ready(Protocol):
    """The part of the pipeline these routes use."""

    def readiness(self) -> Readiness: ...


class Alive(Struct):
    status: str = "ok"


ALIVE = msgspec.json.encode(Alive())


class HealthRoutes:
    """The three handlers."""

    def __init__(self, pipeline: Ready, *, full: bool = True) -> None:
        """`full`: whether whoever comes may know the backends by name."""
        self._pipeline = pipeline
        self._full = full

    async def healthz(self, exchange: Exchange) -> None:
        """The process answers: that is all it says."""
        await exchange.respond(200, ALIVE)

    async def readyz(self, exchange: Exchange) -> None:
        state = self._pipeline.readiness()
        told: JsonObject = msgspec.to_builtins(state)
        if not self._full:
            told["missing"] = [sentence for sentence in told["missing"] if not sentence.startswith(BACKEND)]
        await exchange.respond(200 if state.ready else 503, msgspec.json.encode(told))

    async def metrics(self, exchange: Exchange) -> None:
        await exchange.respond(200, generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST.encode())
