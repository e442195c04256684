"""A failed attempt in words for the client. What an adapter said itself is passed on as it is."""

from __future__ import annotations

from nexus_mesh.core import UNREACHED, MeshError, Reason
from nexus_mesh.settings import Timeouts
from nexus_routing import Candidate

from nexus_gateway.fleet import GONE_PAUSE, JITTER, TRANSPORT

__all__ = ["told", "unavailable"]

RETRY_AFTER = 1.0
RESTART = 2.0
"""Seconds within which a supervised process is back."""


def told(error: MeshError, candidate: Candidate, limits: Timeouts, *, begun: bool = False) -> MeshError:
    """The error of one attempt. `begun`: part of the answer had arrived."""
    backend = candidate.target.backend
    if TRANSPORT in error.metadata:
        if begun:
            return MeshError(
                Reason.BACKEND_LOST,
                f"The connection to backend {backend} broke before the answer was complete. Retry the request.",
            )
        return MeshError(
            Reason.BACKEND_DOWN,
            f"Backend {backend} cannot be reached now. Try again shortly; `nexus status` shows all backends.",
            retry_after=RESTART,
        )
    if UNREACHED in error.metadata and error.retry_after is None:
        error.retry_after = GONE_PAUSE * (1 + JITTER)  # then it is looked for again
    if error.reason is Reason.TIMEOUT and "grpc" in error.metadata:
        return MeshError(
            Reason.TIMEOUT,
            f"Backend {backend} had not finished when the time for the request was over (at most {limits.total:g} s).",
        )
    return error


def unavailable(model: str) -> MeshError:
    """All candidates went out of service between plan and dispatch."""
    return MeshError(
        Reason.BACKEND_DOWN,
        f"Every backend of '{model}' has just become unreachable. Try again shortly.",
        retry_after=RETRY_AFTER,
    )
