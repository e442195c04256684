"""What backends' refusals mean."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nexus_inference_adapters.contract.errors import from_answer, from_event
from nexus_mesh.core.errors import Reason

ANSWERS: list[tuple[int, Any, Reason]] = [
    (
        400,
        {"error": {"type": "exceed_context_size_error", "n_ctx": 512, "message": "too long"}},
        Reason.CONTEXT_LENGTH,
    ),
    (400, {"error": {"message": "This model's maximum context length is 8 tokens."}}, Reason.CONTEXT_LENGTH),
    (400, {"error": {"code": "context_length_exceeded", "message": "x"}}, Reason.CONTEXT_LENGTH),
    (400, {"error": "the input length exceeds the context length"}, Reason.CONTEXT_LENGTH),
    (400, {"error": '"m" does not support tools'}, Reason.CAPABILITY_MISSING),
    (404, {"error": "model 'm' not found"}, Reason.MODEL_NOT_FOUND),
    (404, {"detail": "Not Found"}, Reason.CAPABILITY_MISSING),
    (501, {"error": {"code": 501, "message": "Start it with `--embeddings`"}}, Reason.CAPABILITY_MISSING),
    (
        503,
        {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
        Reason.MODEL_NOT_READY,
    ),
    (503, {"error": "server busy, please try again.  maximum pending requests exceeded"}, Reason.OVERLOAD),
    (503, {}, Reason.BACKEND_DOWN),
    (499, {"error": "cancelled"}, Reason.BACKEND_LOST),
    (418, {}, Reason.UPSTREAM_ERROR),
]


@pytest.mark.parametrize(("status", "body", "reason"), ANSWERS)
def test_answers(status: int, body: Any, reason: Reason) -> None:
    assert from_answer(status, {}, json.dumps(body).encode()).reason is reason


def test_the_limit_is_told_when_known() -> None:
    error = from_answer(*ANSWERS[0][:1], {}, json.dumps(ANSWERS[0][1]).encode())
    assert error.metadata["context_tokens"] == "512"


SAID = "This model's maximum context length is 8192 tokens"


@pytest.mark.parametrize(
    ("error", "prompt"),
    [
        ({"type": "exceed_context_size_error", "n_ctx": 8192, "n_prompt_tokens": 9000}, "9000"),
        ({"message": f"{SAID}. However, your messages resulted in 9000 tokens."}, "9000"),
        ({"message": f"{SAID}. However, you requested 9010 tokens (9000 in the messages, 10 in"}, "9000"),
        ({"message": f"{SAID}, however you requested 9010 tokens (9000 in your prompt; 10 for"}, "9000"),
        ({"message": f"'max_tokens' is too large: 9000. {SAID} and your request has 20 input tokens"}, "20"),
        ({"message": f"{SAID}."}, None),
    ],
)  # fmt: skip
def test_the_tokens_of_the_prompt_are_told_when_known(error: Any, prompt: str | None) -> None:
    """D14: both numbers reach the client."""
    told = from_answer(400, {}, json.dumps({"error": error}).encode())
    assert (told.reason, told.metadata["context_tokens"]) == (Reason.CONTEXT_LENGTH, "8192")
    assert told.metadata.get("prompt_tokens") == prompt


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"code": "content_filter", "message": "x"}),
        (400, {"message": "x", "innererror": {}, "code": None, "type": "content_policy_violation"}),
        (403, {"code": "content_filter"}),
        (500, {"message": "The prompt triggered the content management policy."}),
    ],
)
def test_a_content_filter_is_a_verdict_on_the_request(status: int, error: Any) -> None:
    for told in (
        from_answer(status, {}, json.dumps({"error": error}).encode()),
        from_event({"error": error}),
    ):
        assert told.reason is Reason.INVALID_REQUEST
        assert told.metadata["code"] == "content_filter"


def test_a_quote_is_short_and_printable() -> None:
    error = from_answer(400, {}, json.dumps({"error": {"message": "bad\x1b[31m\n" + "x" * 5000}}).encode())
    assert error.message.isprintable()
    assert len(error.message) < 400


@pytest.mark.parametrize("header", ["nan", "-3", "Wed, 21 Oct 2026 07:28:00 GMT", "1e9", ""])
def test_odd_retry_after_headers(header: str) -> None:
    error = from_answer(429, {"Retry-After": header}, b"")
    assert error.retry_after is not None
    assert 1.0 <= error.retry_after <= 120.0


@pytest.mark.parametrize(("header", "told"), [("500", 500.0), ("999999999", 86_400.0)])
def test_a_long_wait_is_told_as_it_is(header: str, told: float) -> None:
    assert from_answer(429, {"Retry-After": header}, b"").retry_after == told


@pytest.mark.parametrize(
    "event", [{"error": {"code": "x"}}, {"error": {"code": 10**30}}, {"error": 5}, [], None]
)
def test_events_of_any_form(event: Any) -> None:
    assert from_event(event).reason is Reason.UPSTREAM_ERROR
