"""Which failures are tried again, how often and when: data, read by one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nexus_mesh.core import Reason

__all__ = ["DEADLINE", "RETRIES", "WORKER_LOST", "Retries", "Retry", "delay"]

WORKER_LOST = "WORKER_LOST"
"""The lease ran out."""
DEADLINE = "DEADLINE"
"""Its own deadline passed."""


@dataclass(frozen=True, slots=True)
class Retry:
    """For one reason: `limit` attempts in all, and before each further one a delay in seconds (the last repeats)."""

    limit: int
    delays: tuple[float, ...]
    jitter: float = 0.2
    """The delay is stretched or shortened by up to this share of it."""


Retries = Mapping[str, Retry]
"""By reason. A reason that is not in it is final."""

SOON = Retry(limit=3, delays=(0.0, 1.0, 2.0))
LATER = Retry(limit=5, delays=(1.0, 5.0, 30.0, 120.0))
RETRIES: Retries = {
    Reason.BACKEND_DOWN: SOON,
    Reason.BACKEND_LOST: SOON,
    Reason.TIMEOUT: SOON,
    Reason.STREAM_IDLE_TIMEOUT: SOON,
    Reason.OVERLOAD: LATER,
    Reason.RATE_LIMIT: LATER,
    Reason.MODEL_NOT_READY: LATER,
    Reason.NOT_READY: LATER,
    Reason.DRAINING: LATER,
    Reason.AUTH_UNAVAILABLE: LATER,
    Reason.STORE_UNAVAILABLE: LATER,
    # A payload that kills its workers must not do so for ever.
    WORKER_LOST: Retry(limit=5, delays=(0.0, 1.0, 5.0, 30.0)),
}
"""What may pass by itself. The reasons are those of MeshError, and the two above."""


def delay(
    retries: Retries, reason: str, attempt: int, retry_after: float, random: Callable[[], float]
) -> float | None:
    """Seconds until the next attempt after `attempt` of them; None: there is none.

    `retry_after` (what a backend asked for) is obeyed when it is longer. `random` gives 0 to 1.
    """
    retry = retries.get(reason)
    if retry is None or attempt >= retry.limit:
        return None
    planned = retry.delays[min(max(attempt, 1), len(retry.delays)) - 1] if retry.delays else 0.0
    return max(planned * (1 + retry.jitter * (2 * random() - 1)), retry_after, 0.0)
