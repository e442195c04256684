"""How urgent a client may call its request: as the rest, or less."""

from __future__ import annotations

from nexus_mesh.core import MeshError, Reason

from nexus_gateway.core import Priority

__all__ = ["check_priority"]

ALLOWED = {"low": Priority.LOW, "normal": Priority.NORMAL}


def check_priority(given: str, param: str) -> Priority:
    """The priority, normal without one. MeshError INVALID_REQUEST for anything a client may not ask for."""
    if not given:
        return Priority.NORMAL
    priority = ALLOWED.get(given)
    if priority is None:
        raise MeshError(
            Reason.INVALID_REQUEST,
            f"{param} must be low or normal; a client cannot put itself before others.",
            metadata={"param": param},
        )
    return priority
