"""Holds a status to what the certificate of its sender lets it claim: which models, and how good a place."""

from __future__ import annotations

from nexus.registry.v1.instance_pb2 import Backend, Status
from nexus_mesh.core import logger
from nexus_mesh.identity import UNLIMITED, Caller, Claims
from nexus_mesh.rows import REASON

__all__ = ["ClaimsGuard"]

USUAL_PRIORITY = 50
"""What a backend has that names none (0)."""
NAMED = 5
"""Models named in a reason; the others are counted."""

log = logger("registry")


class ClaimsGuard:
    """Cuts statuses down; says so in the backend's `state_reason`, and once per change in the log."""

    def __init__(self) -> None:
        self._reported: dict[str, list[str]] = {}

    def enforce(self, caller: Caller, status: Status) -> None:
        """Drops models it may not offer, moves backends that claim too good a place. Changes `status`."""
        if caller.claims == UNLIMITED:
            return
        done = [line for backend in status.backends for line in _hold(backend, caller.claims)]
        if done and done != self._reported.get(caller.spiffe.instance_id):
            log.warning("claims cut down", identity=str(caller.spiffe), done=done)
        self._reported[caller.spiffe.instance_id] = done


def _hold(backend: Backend, claims: Claims) -> list[str]:
    done = [*_hold_models(backend, claims), *_hold_priority(backend, claims)]
    if done:
        reasons = [backend.state_reason, *done] if backend.state_reason else done
        backend.state_reason = "; ".join(reasons)[:REASON]
    return [f"{backend.name}: {what}" for what in done]


def _hold_models(backend: Backend, claims: Claims) -> list[str]:
    dropped = [model.id for model in backend.models if not claims.allow_model(model.id)]
    if not dropped:
        return []
    kept = [model for model in backend.models if claims.allow_model(model.id)]
    del backend.models[:]
    backend.models.extend(kept)
    others = f" and {len(dropped) - NAMED} more" if len(dropped) > NAMED else ""
    return [f"its join token does not let it offer {', '.join(dropped[:NAMED])}{others}"]


def _hold_priority(backend: Backend, claims: Claims) -> list[str]:
    asked = backend.priority or USUAL_PRIORITY
    if asked >= claims.priority_floor:
        return []
    backend.priority = claims.priority_floor
    return [f"priority {asked} is a better place than its join token allows ({claims.priority_floor})"]
