"""Why a request got no place: what happened, and when to come back."""

from __future__ import annotations

import random
from collections.abc import Iterable

from nexus_mesh.core import MeshError, Reason

__all__ = ["draining", "saturated"]

RETRY_AFTER = 1.0
SPREAD = 0.5
"""Clients refused together must not come back together: up to so much longer, and up to a second more."""


def saturated(model: str, eta: float, hosts: Iterable[str], *, own_share: bool) -> MeshError:
    """`eta`: seconds until such a request would have had a place. `hosts`: where the places are.
    `own_share`: its tenant alone is in its way.
    """
    what = (
        f"Your other requests for '{model[:128]}' take all of your share of its places"
        if own_share
        else f"All places at the backends of '{model[:128]}' are taken"
    )
    return MeshError(
        Reason.RATE_LIMIT if own_share else Reason.OVERLOAD,
        f"{what}, and it would take about {max(1, round(eta))} s to get one: longer than this request may wait. "
        "Send it again later.",
        metadata={"reason": "saturated", "eta_seconds": f"{eta:.1f}", "available_nodes": ",".join(hosts)},
        retry_after=eta * random.uniform(1, 1 + SPREAD) + random.random(),
    )


def draining() -> MeshError:
    return MeshError(
        Reason.DRAINING,
        "This gateway is shutting down and takes no request that would have to wait. Send it again.",
        retry_after=RETRY_AFTER,
    )
