"""The error reasons are one list, whichever side it is read from."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from nexus.types.v1 import error_pb2
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.rpc.status import CODES, from_rpc_error, to_status


def test_reasons_equal_the_contract() -> None:
    declared = {name.removeprefix("ERROR_REASON_") for name, _ in error_pb2.ErrorReason.items()}
    assert {reason.value for reason in Reason} == declared - {"UNSPECIFIED"}


def test_every_reason_has_a_code() -> None:
    assert set(CODES) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_an_error_survives_the_wire(reason: Reason) -> None:
    sent = MeshError(reason, "what happened", metadata={"param": "n"}, retry_after=1.5)
    code, message, trailing = to_status(sent)
    arrived = from_rpc_error(_rpc_error(code, message, trailing))
    assert (arrived.reason, arrived.message, arrived.metadata, arrived.retry_after) == (
        reason,
        "what happened",
        {"param": "n"},
        1.5,
    )


def test_there_is_exactly_one_error_info() -> None:
    _, _, trailing = to_status(MeshError(Reason.OVERLOAD, "busy", retry_after=1))
    status = status_pb2.Status.FromString(trailing[0][1])
    kinds = [detail.TypeName() for detail in status.details]
    assert kinds.count(error_details_pb2.ErrorInfo.DESCRIPTOR.full_name) == 1


@pytest.mark.parametrize(
    ("code", "details", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", Reason.BACKEND_DOWN),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", Reason.TIMEOUT),
        (grpc.StatusCode.UNAUTHENTICATED, "", Reason.MESH_IDENTITY),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "SERVER: Received message larger than max",
            Reason.REQUEST_TOO_LARGE,
        ),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "CLIENT: Received message larger than max",
            Reason.RESPONSE_TOO_LARGE,
        ),
        (grpc.StatusCode.UNKNOWN, "Unexpected <class 'ValueError'>: secret", Reason.INTERNAL),
    ],
)
def test_a_bare_status_gets_a_reason_and_no_text_of_the_library(
    code: grpc.StatusCode, details: str, reason: Reason
) -> None:
    error = from_rpc_error(_rpc_error(code, details, ()))
    assert error.reason is reason
    assert details not in error.message or not details


def _rpc_error(
    code: grpc.StatusCode, details: str, trailing: tuple[tuple[str, bytes], ...]
) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details)
