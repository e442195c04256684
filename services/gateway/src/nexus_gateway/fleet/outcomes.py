"""What the error of an attempt says of whom it was made on."""

from __future__ import annotations

from nexus_mesh.core import UNREACHED, MeshError, Reason

from nexus_gateway.fleet.breakers import Outcome

__all__ = ["RETRYABLE", "TRANSPORT", "is_final", "outcome_of"]

TRANSPORT = "transport"
"""Metadata key of an error that came from the connection, not from the service behind it."""

# Any other reason is an answer: a refused request, a full house, a model that is still to be loaded.
OUTCOMES = {
    Reason.BACKEND_DOWN: Outcome.FAULT,
    Reason.BACKEND_LOST: Outcome.FAULT,
    Reason.INTERNAL: Outcome.FAULT,
    Reason.STREAM_IDLE_TIMEOUT: Outcome.FAULT,
    Reason.UPSTREAM_ERROR: Outcome.FAULT,
    Reason.UPSTREAM_MALFORMED: Outcome.ODD,
    Reason.TIMEOUT: Outcome.NOTHING,
    Reason.DRAINING: Outcome.NOTHING,
}


# Generating has no side effects, so it may be repeated for as long as nothing of it reached the client.
RETRYABLE = frozenset(
    {
        Reason.BACKEND_DOWN,
        Reason.BACKEND_LOST,
        Reason.DRAINING,
        Reason.MODEL_NOT_FOUND,
        Reason.MODEL_NOT_READY,
        Reason.OVERLOAD,
        Reason.RATE_LIMIT,
        Reason.STREAM_IDLE_TIMEOUT,
        Reason.UPSTREAM_ERROR,
        Reason.UPSTREAM_MALFORMED,
    }
)


def _says_upstream(error: MeshError) -> bool:
    """Whether it is the backend's own answer: its time limit, for one, is not ours."""
    return "upstream_status" in error.metadata


def outcome_of(error: MeshError) -> Outcome:
    """A lost connection says nothing of the backend behind it: its instance is looked after elsewhere."""
    if TRANSPORT in error.metadata:
        return Outcome.NOTHING
    if UNREACHED in error.metadata:
        return Outcome.GONE
    if error.reason is Reason.TIMEOUT and _says_upstream(error):
        return Outcome.FAULT
    return OUTCOMES.get(error.reason, Outcome.ANSWERED)


def is_final(error: MeshError) -> bool:
    """Whether nobody else must be asked: a verdict on the request, which another one might only hide."""
    if error.reason is Reason.TIMEOUT and _says_upstream(error):
        return False
    return error.reason not in RETRYABLE and error.reason is not Reason.CONTEXT_LENGTH
