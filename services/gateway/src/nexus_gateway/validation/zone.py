"""The privacy zone a client may demand, by header or in an envelope."""

from __future__ import annotations

from nexus_mesh.core import MeshError, Reason
from nexus_mesh.identity import LABEL

__all__ = ["check_zone"]


def check_zone(given: str, param: str) -> str | None:
    """The zone, None without one. MeshError INVALID_REQUEST when it could not be the name of any."""
    if not given:
        return None
    if LABEL.fullmatch(given) is None:
        raise MeshError(
            Reason.INVALID_REQUEST,
            f"{param} must be the name of a privacy zone: letters a to z, digits and hyphens.",
            metadata={"param": param},
        )
    return given
