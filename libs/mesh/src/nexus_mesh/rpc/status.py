"""MeshError <-> gRPC status. The only place that knows which code a reason travels under."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import (  # pyright: ignore[reportMissingTypeStubs] - they lie beside the code
    error_details_pb2,
    status_pb2,
)
from grpc import StatusCode
from grpc.aio import AioRpcError

from nexus_mesh.core import MeshError, Reason
from nexus_mesh.rpc.channels import Context

__all__ = ["CODES", "DETAILS_KEY", "abort", "bare", "from_rpc_error", "from_status", "to_status"]

DOMAIN = "nexus"
DETAILS_KEY = "grpc-status-details-bin"

CODES: dict[Reason, StatusCode] = {
    Reason.INVALID_REQUEST: StatusCode.INVALID_ARGUMENT,
    Reason.UNSUPPORTED_PARAMETER: StatusCode.INVALID_ARGUMENT,
    Reason.CAPABILITY_MISSING: StatusCode.FAILED_PRECONDITION,
    Reason.CONTEXT_LENGTH: StatusCode.OUT_OF_RANGE,
    Reason.CALLER_KEY: StatusCode.UNAUTHENTICATED,
    Reason.CALLER_SCOPE: StatusCode.PERMISSION_DENIED,
    Reason.MESH_IDENTITY: StatusCode.UNAUTHENTICATED,
    Reason.MESH_POLICY: StatusCode.PERMISSION_DENIED,
    Reason.JOIN_TOKEN: StatusCode.PERMISSION_DENIED,
    Reason.MODEL_NOT_FOUND: StatusCode.NOT_FOUND,
    Reason.OBJECT_NOT_FOUND: StatusCode.NOT_FOUND,
    Reason.MODEL_NOT_READY: StatusCode.FAILED_PRECONDITION,
    Reason.RATE_LIMIT: StatusCode.RESOURCE_EXHAUSTED,
    Reason.OVERLOAD: StatusCode.RESOURCE_EXHAUSTED,
    Reason.REQUEST_TOO_LARGE: StatusCode.RESOURCE_EXHAUSTED,
    Reason.RESPONSE_TOO_LARGE: StatusCode.RESOURCE_EXHAUSTED,
    Reason.TIMEOUT: StatusCode.DEADLINE_EXCEEDED,
    Reason.STREAM_IDLE_TIMEOUT: StatusCode.DEADLINE_EXCEEDED,
    Reason.DRAINING: StatusCode.UNAVAILABLE,
    Reason.BACKEND_DOWN: StatusCode.UNAVAILABLE,
    Reason.BACKEND_LOST: StatusCode.UNAVAILABLE,
    Reason.UPSTREAM_ERROR: StatusCode.UNKNOWN,
    Reason.UPSTREAM_MALFORMED: StatusCode.UNKNOWN,
    Reason.AUTH_UNAVAILABLE: StatusCode.UNAVAILABLE,
    Reason.NOT_READY: StatusCode.UNAVAILABLE,
    Reason.REVISION_EXPIRED: StatusCode.OUT_OF_RANGE,
    Reason.ALREADY_EXISTS: StatusCode.ALREADY_EXISTS,
    Reason.STORE_UNAVAILABLE: StatusCode.UNAVAILABLE,
    Reason.INTERNAL: StatusCode.INTERNAL,
    Reason.PRIVACY_ZONE: StatusCode.PERMISSION_DENIED,
    Reason.ROUTING_RULE: StatusCode.PERMISSION_DENIED,
    Reason.CONFLICT: StatusCode.ABORTED,
    Reason.STORAGE_QUOTA: StatusCode.RESOURCE_EXHAUSTED,
}

# What a bare code means when the peer gave no ErrorInfo: the library spoke, not a service of ours.
BARE: dict[StatusCode, tuple[Reason, str]] = {
    StatusCode.UNAVAILABLE: (Reason.BACKEND_DOWN, "The service could not be reached."),
    StatusCode.CANCELLED: (Reason.BACKEND_LOST, "The service gave the call up."),
    StatusCode.DEADLINE_EXCEEDED: (Reason.TIMEOUT, "The time allowed for the call is over."),
    StatusCode.UNAUTHENTICATED: (Reason.MESH_IDENTITY, "The service does not accept this identity."),
    StatusCode.PERMISSION_DENIED: (Reason.MESH_POLICY, "The service does not let this role call it."),
    StatusCode.RESOURCE_EXHAUSTED: (Reason.OVERLOAD, "The service is overloaded."),
}
BY_NUMBER = {code.value[0]: code for code in StatusCode}
# What the asyncio client says when a write meets the end of a call before the status is read (grpc/grpc#36066).
LOST_STATUS = "Internal error from Core"
TRANSPORT_CODES = {StatusCode.UNAVAILABLE, StatusCode.CANCELLED}


def to_status(error: MeshError) -> tuple[StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """Code, message and trailing metadata (google.rpc.Status with one ErrorInfo) of an error."""
    code = CODES[error.reason]
    status = status_pb2.Status(code=code.value[0], message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason.value, domain=DOMAIN, metadata=error.metadata)
    status.details.add().Pack(info)
    if error.retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return code, error.message, ((DETAILS_KEY, status.SerializeToString()),)


async def abort(context: Context, error: MeshError) -> NoReturn:
    """Ends a call with an error."""
    code, message, trailing = to_status(error)
    await context.abort(code, message, trailing)


def bare(code: StatusCode, message: str) -> bytes:
    """A serialised google.rpc.Status without an ErrorInfo."""
    return status_pb2.Status(code=code.value[0], message=message).SerializeToString()


def from_rpc_error(error: AioRpcError) -> MeshError:
    """The MeshError a peer raised, or what the transport's own failure amounts to (metadata transport=1)."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            decoded = _decode(value)
            if decoded is not None:
                return decoded
    code, details = error.code(), error.details() or ""
    if "larger than max" in details:
        return _too_large(details)
    if code is StatusCode.INTERNAL and details.startswith(LOST_STATUS):
        code = StatusCode.UNAVAILABLE
    return _bare(code, {"transport": "1"} if code in TRANSPORT_CODES else {})


def from_status(raw: bytes) -> MeshError:
    """The MeshError a peer raised, from its serialised google.rpc.Status."""
    try:
        return _decode(raw) or _bare(BY_NUMBER[status_pb2.Status.FromString(raw).code], {})
    except (DecodeError, LookupError):
        return _bare(StatusCode.UNKNOWN, {})


def _bare(code: StatusCode, metadata: Mapping[str, str]) -> MeshError:
    reason, message = BARE.get(code, (Reason.INTERNAL, "The service failed."))
    return MeshError(reason, message, metadata={**metadata, "grpc": code.name})


def _too_large(details: str) -> MeshError:
    if details.startswith("CLIENT"):
        return MeshError(Reason.RESPONSE_TOO_LARGE, "The answer is larger than a hop of the mesh carries.")
    return MeshError(Reason.REQUEST_TOO_LARGE, "The request is larger than a hop of the mesh carries.")


def _decode(raw: bytes) -> MeshError | None:
    status = status_pb2.Status.FromString(raw)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    retry_after: float | None = None
    for detail in status.details:
        if detail.Unpack(retry):
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
        else:
            detail.Unpack(info)
    if info.domain != DOMAIN or info.reason not in Reason.__members__:
        return None
    return MeshError(
        Reason[info.reason], status.message, metadata=dict(info.metadata), retry_after=retry_after
    )
