"""How often an identity may renew: far more often than it has to, far less than a thief would like."""

from __future__ import annotations

import datetime

from nexus_mesh.core import MeshError, Reason
from nexus_mesh.identity import SpiffeId

from nexus_vault.clock import Clock

__all__ = ["Renewals"]

AT_ONCE = 4
"""A lost answer is asked for again, so more than one in a row is no sign of anything."""
IN_A_LIFE = 8
"""Renewals that come back in the life of a certificate. A member renews at half-life, so it needs two."""


class Renewals:
    """A bucket for each identity that renews; members of the mesh are few."""

    def __init__(self, life: datetime.timedelta, clock: Clock) -> None:
        self._pause = life.total_seconds() / IN_A_LIFE
        self._clock = clock
        self._buckets: dict[SpiffeId, tuple[float, float]] = {}

    def take(self, spiffe: SpiffeId) -> None:
        """Counts a renewal. Raises MeshError RATE_LIMIT."""
        now = self._clock().timestamp()
        left, then = self._buckets.get(spiffe, (float(AT_ONCE), now))
        left = min(AT_ONCE, left + max(0.0, now - then) / self._pause)
        if left < 1:
            self._buckets[spiffe] = (left, now)
            raise MeshError(
                Reason.RATE_LIMIT,
                "This identity renews its certificate far more often than it has to; it is told to wait.",
                retry_after=(1 - left) * self._pause,
            )
        self._buckets[spiffe] = (left - 1, now)
