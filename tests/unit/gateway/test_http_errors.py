"""The table from reasons to HTTP: complete, and true to what the official client does with its answers."""

from __future__ import annotations

import json

import pytest
from nexus.types.v1 import error_pb2
from nexus_gateway.dialects.errors import error_body, error_object
from nexus_gateway.http.status import EDGE, REASONS, EdgeError, status_of
from nexus_mesh.core.errors import MeshError, Reason

SAID = "What happened, why, what to do."


def sent(
    error: MeshError | EdgeError, *, full: bool = False
) -> tuple[int, dict[str, str], dict[str, object]]:
    status, headers = status_of(error)
    body = error_body(error, full)
    return status, {name.decode(): value.decode() for name, value in headers}, json.loads(body)["error"]


def test_every_reason_of_the_contract_has_an_answer() -> None:
    names = {
        name.removeprefix("ERROR_REASON_") for name in error_pb2.ErrorReason.DESCRIPTOR.values_by_name
    } - {"UNSPECIFIED"}
    assert {reason.value for reason in REASONS} == names


@pytest.mark.parametrize("reason", Reason)
def test_every_envelope_has_its_five_keys_and_says_whether_to_retry(reason: Reason) -> None:
    status, headers, error = sent(MeshError(reason, SAID))
    assert set(error) - {"context"} == {"message", "type", "param", "code", "docs"}
    assert error["docs"] == f"docs/troubleshooting.md#{error['code']}"
    assert error["message"] == SAID
    retried_by_default = status in (408, 409, 429) or status >= 500
    assert ("x-should-retry" in headers) == retried_by_default
    no_wait_helps = reason is Reason.STORAGE_QUOTA  # room comes by deleting
    assert ("retry-after" in headers) == (status in (429, 503) and not no_wait_helps)
    if "retry-after" in headers:
        assert 1 <= int(headers["retry-after"]) <= 120


def test_a_program_is_told_why_nobody_can_serve_and_for_how_long() -> None:
    facts = {
        "reason": "saturated",
        "available_nodes": "studio,box",
        "eta_seconds": "2.5",
        "required_tier": "premium",
    }
    for full, hosts in ((False, []), (True, ["studio", "box"])):
        _, _, error = sent(MeshError(Reason.OVERLOAD, SAID, metadata=facts, retry_after=2.5), full=full)
        assert error["context"] == context(hosts), "A14: hosts are for who may know them"
    _, _, error = sent(MeshError(Reason.BACKEND_DOWN, SAID, retry_after=5))
    assert error["context"] == {
        "reason": "unhealthy",
        "available_nodes": [],
        "eta_seconds": 5,
        "required_tier": None,
    }


def context(hosts: list[str]) -> dict[str, object]:
    return {
        "reason": "saturated",
        "available_nodes": hosts,
        "eta_seconds": 2.5,
        "required_tier": "premium",
    }


@pytest.mark.parametrize("name", EDGE)
def test_the_edge_s_own_refusals_have_the_same_form(name: str) -> None:
    status, headers, error = sent(EdgeError(name, SAID))
    assert status == EDGE[name].status
    code = EDGE[name].code
    assert error == {
        "message": SAID,
        "type": EDGE[name].type,
        "param": None,
        "code": code,
        "docs": f"docs/troubleshooting.md#{code}",
    }
    assert ("x-should-retry" in headers) == (status == 408 or status >= 500)


STATUSES = [
    (Reason.INVALID_REQUEST, 400, "invalid_request_error", "invalid_value"),
    (Reason.CONTEXT_LENGTH, 400, "invalid_request_error", "context_length_exceeded"),
    (Reason.CALLER_KEY, 401, "invalid_request_error", "invalid_api_key"),
    (Reason.CALLER_SCOPE, 403, "permission_error", "insufficient_permissions"),
    (Reason.MODEL_NOT_FOUND, 404, "invalid_request_error", "model_not_found"),
    (Reason.REQUEST_TOO_LARGE, 413, "invalid_request_error", "request_too_large"),
    (Reason.RATE_LIMIT, 429, "rate_limit_error", "rate_limit_exceeded"),
    (Reason.MESH_POLICY, 500, "server_error", "internal_policy_error"),
    (Reason.UPSTREAM_ERROR, 502, "server_error", "upstream_error"),
    (Reason.RESPONSE_TOO_LARGE, 502, "server_error", "upstream_response_too_large"),
    (Reason.MESH_IDENTITY, 503, "server_error", "mesh_identity_error"),
    (Reason.OVERLOAD, 503, "server_error", "overloaded"),
    (Reason.DRAINING, 503, "server_error", "server_shutting_down"),
    (Reason.TIMEOUT, 504, "server_error", "timeout"),
]


@pytest.mark.parametrize(("reason", "status", "kind", "code"), STATUSES)
def test_statuses(reason: Reason, status: int, kind: str, code: str) -> None:
    got, _, error = sent(MeshError(reason, SAID))
    assert (got, error["type"], error["code"]) == (status, kind, code)


def test_a_wrong_key_is_told_how_to_authenticate() -> None:
    assert sent(MeshError(Reason.CALLER_KEY, SAID))[1]["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("wait", "header", "retry"), [(0.2, "1", "true"), (2.1, "3", "true"), (121, "120", "false")]
)
def test_a_wait_longer_than_the_client_accepts_is_not_retried(wait: float, header: str, retry: str) -> None:
    _, headers, _ = sent(MeshError(Reason.RATE_LIMIT, SAID, retry_after=wait))
    assert (headers["retry-after"], headers["x-should-retry"]) == (header, retry)


@pytest.mark.parametrize(("wait", "retry"), [(None, "false"), (1, "true"), (2, "true"), (30, "false")])
def test_who_is_back_in_a_moment_is_worth_waiting_for(wait: float | None, retry: str) -> None:
    """B9: a Retry-After that is meant is not taken back by the header beside it."""
    _, headers, _ = sent(MeshError(Reason.BACKEND_DOWN, SAID, retry_after=wait))
    assert headers["x-should-retry"] == retry


def test_parameter_and_code_of_a_bad_request_are_told() -> None:
    error = MeshError(Reason.INVALID_REQUEST, SAID, metadata={"param": "n", "code": "invalid_type"})
    assert error_object(error) == {
        "message": SAID,
        "type": "invalid_request_error",
        "param": "n",
        "code": "invalid_type",
        "docs": "docs/troubleshooting.md#invalid_type",
    }


def test_only_a_bad_request_may_choose_its_code() -> None:
    assert error_object(MeshError(Reason.INTERNAL, SAID, metadata={"code": "x"}))["code"] == "internal_error"


def test_a_code_nobody_has_written_down_is_not_handed_on() -> None:
    error = MeshError(Reason.INVALID_REQUEST, SAID, metadata={"code": "whatever a backend says"})
    assert error_object(error)["code"] == "invalid_value"


@pytest.mark.parametrize("reason", [Reason.BACKEND_LOST, Reason.BACKEND_DOWN])
def test_a_lost_backend_is_an_interrupted_stream_once_content_was_sent(reason: Reason) -> None:
    assert error_object(MeshError(reason, SAID), mid_stream=True)["code"] == "stream_interrupted"
