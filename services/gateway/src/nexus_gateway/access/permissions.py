"""What a principal may do besides asking models. One function, so that nothing is open by accident."""

from __future__ import annotations

from nexus_mesh.core import MeshError, Reason

from nexus_gateway.access.accounts import Principal

__all__ = ["demand_management"]


def demand_management(principal: Principal) -> None:
    """Raises CALLER_SCOPE unless it may load, unload, pull and delete models.

    Anyone may on an endpoint that only this machine reaches; elsewhere keys made with --manage.
    """
    if not principal.manage:
        raise MeshError(
            Reason.CALLER_SCOPE,
            "This API key may ask models and not manage them. `nexus keys update KEY --manage` lets it; on the control "
            "host the operator can without: `nexus load`, `nexus unload`, `nexus pull` and `nexus rm`.",
        )
