"""The gateway's HTTP errors as what they are everywhere else: a reason for programs and a message for people."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2
from msgspec import Struct
from nexus_mesh.core import MeshError, Reason

from nexus_client import wire

__all__ = ["CODES", "from_answer", "from_failure", "unreachable"]

CODES: dict[str, Reason] = {
    "invalid_value": Reason.INVALID_REQUEST,
    "unsupported_parameter": Reason.UNSUPPORTED_PARAMETER,
    "capability_missing": Reason.CAPABILITY_MISSING,
    "context_length_exceeded": Reason.CONTEXT_LENGTH,
    "invalid_api_key": Reason.CALLER_KEY,
    "invalid_join_token": Reason.JOIN_TOKEN,
    "insufficient_permissions": Reason.CALLER_SCOPE,
    "privacy_zone": Reason.PRIVACY_ZONE,
    "routing_rule": Reason.ROUTING_RULE,
    "model_not_found": Reason.MODEL_NOT_FOUND,
    "not_found": Reason.OBJECT_NOT_FOUND,
    "already_exists": Reason.ALREADY_EXISTS,
    "storage_quota_exceeded": Reason.STORAGE_QUOTA,
    "conflict": Reason.CONFLICT,
    "request_too_large": Reason.REQUEST_TOO_LARGE,
    "rate_limit_exceeded": Reason.RATE_LIMIT,
    "internal_policy_error": Reason.MESH_POLICY,
    "internal_error": Reason.INTERNAL,
    "backend_lost": Reason.BACKEND_LOST,
    "stream_interrupted": Reason.BACKEND_LOST,
    "upstream_error": Reason.UPSTREAM_ERROR,
    "upstream_malformed": Reason.UPSTREAM_MALFORMED,
    "upstream_response_too_large": Reason.RESPONSE_TOO_LARGE,
    "backend_down": Reason.BACKEND_DOWN,
    "model_not_ready": Reason.MODEL_NOT_READY,
    "overloaded": Reason.OVERLOAD,
    "not_ready": Reason.NOT_READY,
    "server_shutting_down": Reason.DRAINING,
    "auth_unavailable": Reason.AUTH_UNAVAILABLE,
    "mesh_identity_error": Reason.MESH_IDENTITY,
    "store_unavailable": Reason.STORE_UNAVAILABLE,
    "timeout": Reason.TIMEOUT,
    "stream_idle_timeout": Reason.STREAM_IDLE_TIMEOUT,
}
"""By `error.code`. A test holds it equal to the gateway's own table."""
STATUSES = {
    400: Reason.INVALID_REQUEST,
    401: Reason.CALLER_KEY,
    403: Reason.CALLER_SCOPE,
    404: Reason.OBJECT_NOT_FOUND,
    413: Reason.REQUEST_TOO_LARGE,
    429: Reason.RATE_LIMIT,
    503: Reason.OVERLOAD,
    504: Reason.TIMEOUT,
}
"""Where the code is none of ours: the edge's own refusals, and whoever else is at that address."""


class _Envelope(Struct):
    error: wire.Failure


def from_answer(status: int, headers: Mapping[str, str], body: bytes) -> MeshError:
    """The error of an answer that is none of 2xx."""
    try:
        failure = wire.decoded(body, _Envelope).error
    except MeshError:
        failure = wire.Failure(f"HTTP {status} came back, from no NEXUS gateway: check the address.")
    fallback = STATUSES.get(status, Reason.INVALID_REQUEST if status < 500 else Reason.UPSTREAM_ERROR)
    wait = headers.get("retry-after", "")
    return from_failure(failure, fallback, float(wait) if wait.isascii() and wait.isdecimal() else None)


def from_failure(
    failure: wire.Failure, fallback: Reason = Reason.UPSTREAM_ERROR, retry_after: float | None = None
) -> MeshError:
    """`code` and `param` are kept among the metadata."""
    told = {"code": failure.code, "param": failure.param}
    metadata = {name: value for name, value in told.items() if value}
    reason = CODES.get(failure.code or "", fallback)
    return MeshError(reason, failure.message, metadata=metadata, retry_after=retry_after)


def unreachable(error: Exception, url: str) -> MeshError:
    """What the library's own failure amounts to. Its text is left out: it is not ours."""
    if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol):
        return MeshError(
            Reason.INVALID_REQUEST, f"{url} is no URL of a gateway: http://HOST:PORT or https://..."
        )
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return MeshError(
            Reason.BACKEND_DOWN,
            f"No gateway answers at {url}: is the address right, and does `nexus up` run?",
        )
    return MeshError(
        Reason.BACKEND_LOST, "The connection to the gateway was lost before the answer was whole."
    )
