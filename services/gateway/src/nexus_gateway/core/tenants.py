"""Whose share of the places a request takes."""

from __future__ import annotations

from typing import NamedTuple

from nexus_gateway.access import Principal

__all__ = ["NOBODY", "Tenant", "tenant_of"]


class Tenant(NamedTuple):
    """`weight`: its share beside others. Given another one it is another tenant to those who wait already."""

    id: str
    weight: float = 1.0


NOBODY = Tenant("")


def tenant_of(principal: Principal | None) -> Tenant:
    """The tenant a principal belongs to."""
    return NOBODY if principal is None else Tenant(principal.tenant, principal.weight)
