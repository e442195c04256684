"""The one error of the mesh: a reason for programs, a message for people. Knows no transport."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, auto

__all__ = ["UNREACHED", "ConfigError", "MeshError", "Reason"]

UNREACHED = "unreached"
"""Metadata key of a BACKEND_DOWN whose backend could not even be connected to: the next request would fail too."""


class Reason(StrEnum):
    """Why a call failed: nexus.types.v1.ErrorReason without its prefix. A test holds the two equal."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:  # noqa: ARG004
        return name

    INVALID_REQUEST = auto()
    UNSUPPORTED_PARAMETER = auto()
    CAPABILITY_MISSING = auto()
    CONTEXT_LENGTH = auto()
    CALLER_KEY = auto()
    CALLER_SCOPE = auto()
    MESH_IDENTITY = auto()
    MESH_POLICY = auto()
    JOIN_TOKEN = auto()
    MODEL_NOT_FOUND = auto()
    OBJECT_NOT_FOUND = auto()
    MODEL_NOT_READY = auto()
    RATE_LIMIT = auto()
    OVERLOAD = auto()
    REQUEST_TOO_LARGE = auto()
    RESPONSE_TOO_LARGE = auto()
    TIMEOUT = auto()
    STREAM_IDLE_TIMEOUT = auto()
    DRAINING = auto()
    BACKEND_DOWN = auto()
    BACKEND_LOST = auto()
    UPSTREAM_ERROR = auto()
    UPSTREAM_MALFORMED = auto()
    AUTH_UNAVAILABLE = auto()
    NOT_READY = auto()
    REVISION_EXPIRED = auto()
    ALREADY_EXISTS = auto()
    STORE_UNAVAILABLE = auto()
    INTERNAL = auto()
    PRIVACY_ZONE = auto()
    ROUTING_RULE = auto()
    CONFLICT = auto()
    STORAGE_QUOTA = auto()


class MeshError(Exception):
    """A failure that may be shown to the caller.

    `message` is written by us and safe to forward. `retry_after` is in seconds; None when waiting does not help.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retry_after = retry_after

    def __repr__(self) -> str:
        return f"MeshError({self.reason}, {self.message!r}, metadata={self.metadata!r})"


class ConfigError(Exception):
    """The settings do not hold. `problems` has one sentence each, all of them at once."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
