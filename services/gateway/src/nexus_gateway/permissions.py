"""What a principal may do besides asking models. One function, so that nothing is open by accident."""

from __future__ import annotations

from nexus_mesh.errors import MeshError, Reason

from nexus_gateway.principals import ANONYMOUS, Principal

__all__ = ["demand_management", "may_manage"]


def may_manage(principal: Principal | None) -> bool:
    """Whether somebody may load, unload, pull and delete models.

    Anyone may on an endpoint that only this machine reaches. A key is for asking models and says nothing about this,
    so no key may.
    """
    return principal is ANONYMOUS


def demand_management(principal: Principal | None) -> None:
    """Raises CALLER_SCOPE unless `may_manage`."""
    if not may_manage(principal):
        raise MeshError(
            Reason.CALLER_SCOPE,
            "API keys may ask models and not manage them. On the control host the operator can: "
            "`nexus load`, `nexus unload`, `nexus pull` and `nexus rm`.",
        )
