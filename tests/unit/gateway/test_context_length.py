"""Clients know a prompt that is too long by OpenAI's own words."""

from __future__ import annotations

from typing import Any

import pytest
from nexus.types.v1 import model_pb2
from nexus_gateway.access import ANONYMOUS
from nexus_gateway.core.context_length import reword, too_long
from nexus_gateway.core.request import RequestContext
from nexus_gateway.validation.parse import parse_request
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.settings import Timeouts

CHAT, TEXT, VECTOR = (
    model_pb2.OPERATION_CHAT,
    model_pb2.OPERATION_COMPLETION,
    model_pb2.OPERATION_EMBEDDING,
)
BODIES: dict[int, bytes] = {
    CHAT: b'{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":50}',
    TEXT: b'{"model":"m","prompt":"hi","max_tokens":50}',
    VECTOR: b'{"model":"m","input":"hi"}',
}
TOLD: list[tuple[int, int, int, str, str]] = [
    (
        CHAT, 8192, 63052, "messages",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 63052 tokens. "
        "Please reduce the length of the messages.",
    ),
    (
        CHAT, 8192, 8190, "messages",
        "This model's maximum context length is 8192 tokens. However, you requested 8240 tokens (8190 in the messages, "
        "50 in the completion). Please reduce the length of the messages or completion.",
    ),
    (
        TEXT, 4097, 5000, "prompt",
        "This model's maximum context length is 4097 tokens, however you requested 5050 tokens (5000 in your prompt; "
        "50 for the completion). Please reduce your prompt; or completion length.",
    ),
    (
        VECTOR, 512, 600, "input",
        "This model's maximum context length is 512 tokens, however you requested 600 tokens (600 in your prompt; "
        "0 for the completion). Please reduce your prompt; or completion length.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "context", "prompt", "param", "message"), TOLD)
def test_the_words_are_openais(operation: int, context: int, prompt: int, param: str, message: str) -> None:
    """D14: both numbers, and the parameter to shorten."""
    facts = {"context_tokens": str(context), "prompt_tokens": str(prompt)}
    said = MeshError(
        Reason.CONTEXT_LENGTH, "The prompt does not fit the model's context.", metadata=dict(facts)
    )
    request = parse_request(operation, BODIES[operation], request_id="req_1", principal=ANONYMOUS)
    reword(said, RequestContext(request, Timeouts()))
    assert (said.message, said.metadata) == (message, {**facts, "param": param})
    again = said.message
    reword(said, RequestContext(request, Timeouts()))
    assert said.message == again


@pytest.mark.parametrize("operation", [CHAT, TEXT, VECTOR])
@pytest.mark.parametrize(("context", "prompt"), [(0, 0), (100, 0), (0, 100)])
def test_they_stay_recognisable_where_a_number_is_not_known(
    operation: int, context: int, prompt: int
) -> None:
    told = too_long(operation, context, prompt).message
    assert "This model's maximum context length is" in told
    assert "Please reduce" in told
    assert not (context and str(context) not in told)


def test_other_failures_keep_their_words() -> None:
    facts: dict[str, Any] = {}
    said = MeshError(Reason.OVERLOAD, "Busy.", metadata=facts)
    request = parse_request(CHAT, BODIES[CHAT], request_id="req_1", principal=ANONYMOUS)
    reword(said, RequestContext(request, Timeouts()))
    assert (said.message, said.metadata) == ("Busy.", {})
