"""Failure -> HTTP status: one table for the mesh's reasons, one for the edge's own. Nobody else knows a status."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nexus_mesh.core import MeshError, Reason

from nexus_gateway.validation import REQUEST_CODES

SOON = 5.0
LONGEST_WAIT = 120
"""Seconds. The official client gives up at once when told to wait longer."""

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    """How a failure looks to a client. `retry`: may the client's own retry help? `wait`: seconds, if not said."""

    status: int
    type: str
    code: str
    retry: bool = False
    wait: int | None = None


_BAD = "invalid_request_error"
_SERVER = "server_error"

REASONS: dict[Reason, Answer] = {
    Reason.INVALID_REQUEST: Answer(400, _BAD, "invalid_value"),
    Reason.UNSUPPORTED_PARAMETER: Answer(400, _BAD, "unsupported_parameter"),
    Reason.CAPABILITY_MISSING: Answer(400, _BAD, "capability_missing"),
    Reason.CONTEXT_LENGTH: Answer(400, _BAD, "context_length_exceeded"),
    Reason.CALLER_KEY: Answer(401, _BAD, "invalid_api_key"),
    Reason.JOIN_TOKEN: Answer(401, _BAD, "invalid_join_token"),
    Reason.CALLER_SCOPE: Answer(403, "permission_error", "insufficient_permissions"),
    Reason.PRIVACY_ZONE: Answer(403, "permission_error", "privacy_zone"),
    Reason.ROUTING_RULE: Answer(403, "permission_error", "routing_rule"),
    Reason.MODEL_NOT_FOUND: Answer(404, _BAD, "model_not_found"),
    Reason.OBJECT_NOT_FOUND: Answer(404, _BAD, "not_found"),
    Reason.ALREADY_EXISTS: Answer(409, "conflict", "already_exists"),
    Reason.CONFLICT: Answer(409, "conflict", "conflict"),
    Reason.REQUEST_TOO_LARGE: Answer(413, _BAD, "request_too_large"),
    Reason.STORAGE_QUOTA: Answer(429, "insufficient_quota", "storage_quota_exceeded"),
    Reason.RATE_LIMIT: Answer(429, "rate_limit_error", "rate_limit_exceeded", retry=True, wait=1),
    Reason.MESH_POLICY: Answer(500, _SERVER, "internal_policy_error"),
    Reason.REVISION_EXPIRED: Answer(500, _SERVER, "internal_error"),
    Reason.INTERNAL: Answer(500, _SERVER, "internal_error"),
    Reason.BACKEND_LOST: Answer(502, _SERVER, "backend_lost"),
    Reason.UPSTREAM_ERROR: Answer(502, _SERVER, "upstream_error"),
    Reason.UPSTREAM_MALFORMED: Answer(502, _SERVER, "upstream_malformed"),
    Reason.RESPONSE_TOO_LARGE: Answer(502, _SERVER, "upstream_response_too_large"),
    # The mesh has tried every candidate by then: another attempt at once would only multiply the load.
    Reason.BACKEND_DOWN: Answer(503, _SERVER, "backend_down", wait=5),
    Reason.MODEL_NOT_READY: Answer(503, _SERVER, "model_not_ready", retry=True, wait=5),
    Reason.OVERLOAD: Answer(503, _SERVER, "overloaded", retry=True, wait=1),
    Reason.NOT_READY: Answer(503, _SERVER, "not_ready", retry=True, wait=1),
    Reason.DRAINING: Answer(503, _SERVER, "server_shutting_down", retry=True, wait=1),
    Reason.AUTH_UNAVAILABLE: Answer(503, _SERVER, "auth_unavailable", retry=True, wait=2),
    Reason.MESH_IDENTITY: Answer(503, _SERVER, "mesh_identity_error", retry=True, wait=2),
    Reason.STORE_UNAVAILABLE: Answer(503, _SERVER, "store_unavailable", retry=True, wait=5),
    Reason.TIMEOUT: Answer(504, _SERVER, "timeout"),
    Reason.STREAM_IDLE_TIMEOUT: Answer(504, _SERVER, "stream_idle_timeout"),
}

MID_STREAM: dict[Reason, str] = {
    Reason.BACKEND_DOWN: "stream_interrupted",
    Reason.BACKEND_LOST: "stream_interrupted",
}
"""Codes that differ once part of the answer has been sent."""

EDGE: dict[str, Answer] = {
    "bad_request": Answer(400, _BAD, "bad_request"),
    "bad_header": Answer(400, _BAD, "bad_header"),
    "bad_framing": Answer(400, _BAD, "bad_framing"),
    "bad_host": Answer(400, _BAD, "bad_host"),
    "origin_not_allowed": Answer(403, "permission_error", "origin_not_allowed"),
    "unknown_url": Answer(404, _BAD, "unknown_url"),
    "method_not_allowed": Answer(405, _BAD, "method_not_allowed"),
    "request_timeout": Answer(408, "timeout", "request_timeout", retry=True, wait=1),
    "request_too_large": Answer(413, _BAD, "request_too_large"),
    "uri_too_long": Answer(414, _BAD, "uri_too_long"),
    "unsupported_media_type": Answer(415, _BAD, "unsupported_media_type"),
    "unsupported_encoding": Answer(415, _BAD, "unsupported_encoding"),
    "range_not_satisfiable": Answer(416, _BAD, "range_not_satisfiable"),
    "expectation_failed": Answer(417, _BAD, "expectation_failed"),
    "misdirected_request": Answer(421, _BAD, "misdirected_request"),
    "headers_too_large": Answer(431, _BAD, "headers_too_large"),
    "transfer_coding": Answer(501, _BAD, "bad_framing"),
    "overloaded": Answer(503, _SERVER, "overloaded", retry=True, wait=1),
    "http_version": Answer(505, _BAD, "unsupported_http_version"),
}
"""What the edge itself refuses, by name."""

CHOSEN = REQUEST_CODES | {"content_filter"}
"""Codes that a bad request may say of itself: what we found wrong with it, or what its backend's owner objects to."""

CODES: frozenset[str] = CHOSEN.union(
    (answer.code for answer in REASONS.values()),
    MID_STREAM.values(),
    (answer.code for answer in EDGE.values()),
)
"""Every code that a client can be told. docs/troubleshooting.md has a paragraph for each."""


class EdgeError(Exception):
    """A failure of HTTP itself, found before the request meant anything. `name` is a key of EDGE."""

    def __init__(self, name: str, message: str, headers: Sequence[Header] = ()) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.headers = tuple(headers)


Failure = MeshError | EdgeError
SayError = Callable[[Failure, bool], bytes]
"""A dialect's body for the answer to a failed request; the second says whether it may name hosts."""


def answer_to(error: Failure) -> Answer:
    return EDGE[error.name] if isinstance(error, EdgeError) else REASONS[error.reason]


def code_of(error: Failure, *, mid_stream: bool = False) -> str:
    """The name programs know a failure by. `mid_stream`: part of the answer had been sent."""
    code = answer_to(error).code
    if isinstance(error, MeshError):
        if error.reason is Reason.INVALID_REQUEST:
            chosen = error.metadata.get("code", code)
            return chosen if chosen in CHOSEN else code
        if mid_stream:
            return MID_STREAM.get(error.reason, code)
    return code


def status_of(error: Failure) -> tuple[int, list[Header]]:
    """Status and extra headers of the answer to a failed request."""
    answer = answer_to(error)
    headers = [*error.headers] if isinstance(error, EdgeError) else []
    if answer.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return answer.status, headers + _retry_headers(answer, error)


def _retry_headers(answer: Answer, error: Failure) -> list[Header]:
    if answer.status < 500 and answer.status not in (408, 409, 429):
        return []
    retry_after = error.retry_after if isinstance(error, MeshError) else None
    wait = math.ceil(retry_after) if retry_after is not None else answer.wait
    worthwhile = (answer.retry or _is_back_soon(error)) and (wait is None or wait <= LONGEST_WAIT)
    headers = [(b"x-should-retry", b"true" if worthwhile else b"false")]
    if wait is not None and answer.status in (408, 429, 503):
        headers.append((b"retry-after", b"%d" % min(max(wait, 1), LONGEST_WAIT)))
    return headers


def _is_back_soon(error: Failure) -> bool:
    """Whether nobody could be reached, and it is known when somebody is looked for again: worth waiting for."""
    if not isinstance(error, MeshError) or error.reason is not Reason.BACKEND_DOWN:
        return False
    return error.retry_after is not None and error.retry_after <= SOON
