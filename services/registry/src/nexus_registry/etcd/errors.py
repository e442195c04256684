"""What can go wrong with etcd, as one small tree; whether trying again can help is part of the error.

EtcdError
|-- UnavailableError   no member could be reached, or none answered in time (retryable)
|-- ExhaustedError     the database is full or the members are overloaded (retryable)
|-- RevisionGoneError  the revision was compacted away, or this cluster has not come to it
|-- LeaseGoneError     the lease has ended
|-- DeniedError        etcd does not allow this identity to do that
|-- RejectedError      the request can never succeed as it is
`-- ClientClosedError  the client was closed by its owner
"""

from __future__ import annotations

import grpc
import grpc.aio


class EtcdError(Exception):
    """Base of all errors of this client. Messages are for logs, not for callers of the mesh."""

    retryable = False


class UnavailableError(EtcdError):
    """A write that ends with this may have been applied all the same."""

    retryable = True


class ExhaustedError(EtcdError):
    retryable = True


class RevisionGoneError(EtcdError):
    pass


class LeaseGoneError(EtcdError):
    pass


class DeniedError(EtcdError):
    pass


class RejectedError(EtcdError):
    pass


class ClientClosedError(EtcdError):
    def __init__(self) -> None:
        super().__init__("The etcd client was closed.")


_BY_CODE: dict[grpc.StatusCode, type[EtcdError]] = {
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: UnavailableError,
    grpc.StatusCode.CANCELLED: UnavailableError,
    grpc.StatusCode.ABORTED: UnavailableError,
    # A connection that breaks in the middle of a message, and a member that is stopping, show as these two.
    grpc.StatusCode.INTERNAL: UnavailableError,
    grpc.StatusCode.UNKNOWN: UnavailableError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ExhaustedError,
    grpc.StatusCode.OUT_OF_RANGE: RevisionGoneError,
    # Nothing but a lease can be "not found" by the calls of this client: a missing key is an empty answer.
    grpc.StatusCode.NOT_FOUND: LeaseGoneError,
    grpc.StatusCode.UNAUTHENTICATED: DeniedError,
    grpc.StatusCode.PERMISSION_DENIED: DeniedError,
}


def translate(error: grpc.aio.AioRpcError, endpoint: str) -> EtcdError:
    """The error of this tree that stands for the status `endpoint` answered with."""
    kind = _BY_CODE.get(error.code(), RejectedError)
    return kind(f"etcd at {endpoint} answered {error.code().name}: {error.details()}")
