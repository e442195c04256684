"""Whether a policy gets through compiling and into a gateway's hands; what does not must never be in force."""

from __future__ import annotations

from nexus_routing import read_snapshot

from nexus_router.compiling import compile_snapshot
from nexus_router.config import RoutingSettings
from nexus_router.health import Health

__all__ = ["prove"]


def prove(routing: RoutingSettings) -> None:
    """Compiles it for an empty mesh and reads it as gateways do. Raises whatever they raise."""
    snapshot = compile_snapshot((), routing, Health(), 0.0)
    read_snapshot(snapshot.FromString(snapshot.SerializeToString()))
