"""Which prompts are worth counting before they are sent: those that may not fit, and no others."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from nexus.types.v1 import model_pb2
from nexus_gateway.access import ANONYMOUS
from nexus_gateway.core.request import RequestContext
from nexus_gateway.validation.parse import parse_request
from nexus_mesh.settings import Timeouts
from nexus_operations import ANSWER_BEGINS, PER_MEDIUM, PER_MESSAGE, estimate, spec_of
from nexus_routing import Requirements, Table, plan
from support.routing_targets import model, target

CHAT, TEXT, VECTOR = (
    model_pb2.OPERATION_CHAT,
    model_pb2.OPERATION_COMPLETION,
    model_pb2.OPERATION_EMBEDDING,
)
FRAME = PER_MESSAGE + ANSWER_BEGINS
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(9000)).decode()
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}


def doubted(operation: int, context: int, body: dict[str, Any], *, size_known: bool = True) -> bool:
    """Of a request read from its own JSON, whose first candidate has this context."""
    raw = json.dumps({"model": "m", **body}).encode()
    request = parse_request(operation, raw, request_id="req_test", principal=ANONYMOUS)
    assert request.size == len(raw)
    request.size = len(raw) if size_known else 0
    asked = RequestContext(request, Timeouts())
    offered = model("m", operations=(operation,), context=context)
    asked.plan = plan(Table([target("box", offered)]), Requirements(operation, "m"))
    return asked.may_be_too_long


def said(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize("size_known", [True, False])
@pytest.mark.parametrize(
    ("operation", "body", "doubt"),
    [
        (CHAT, said("x" * 1900), False),
        (CHAT, said("x" * 2100), True),
        (CHAT, said("日" * 700), True),
        (CHAT, said([{"type": "text", "text": "x" * 2100}]), True),
        (CHAT, said([{"type": "text", "text": "x"}, IMAGE]), False),
        (CHAT, {**said("x"), "metadata": {"a": "x" * 500}, "stop": ["x" * 2100]}, False),
        (TEXT, {"prompt": "x" * 2100}, True),
        (TEXT, {"prompt": [7] * 1000}, False),
        (TEXT, {"prompt": [7] * 1001}, True),
        (TEXT, {"prompt": ["x" * 2100]}, True),
        (TEXT, {"prompt": ["x" * 2100] * 2}, False),
        (VECTOR, {"input": "x" * 2100}, True),
        (VECTOR, {"input": [[7] * 800] * 2}, False),
    ],
)
def test_only_long_text_is_in_doubt(
    operation: int, body: dict[str, Any], doubt: bool, size_known: bool
) -> None:
    assert doubted(operation, 1000, body, size_known=size_known) is doubt
    assert doubted(operation, 0, body, size_known=size_known) is False


def test_an_answer_needs_room_and_a_vector_none() -> None:
    assert [spec_of(operation).generates for operation in (CHAT, TEXT, VECTOR)] == [True, True, False]


@pytest.mark.parametrize(
    ("operation", "body", "tokens"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "hi"}]}, 1 + FRAME),
        (CHAT, {"messages": [{"role": "user", "content": "日" * 8}]}, 8 + FRAME),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}, IMAGE]}]},
            2 + PER_MEDIUM + FRAME,
        ),
        (TEXT, {"prompt": ["x" * 40, "x" * 40]}, 20),
        (TEXT, {"prompt": [7] * 9}, 9),
        (VECTOR, {"input": [[7] * 9, [7]]}, 10),
    ],
)
def test_gateway_and_adapter_count_everything_there_is_to_read(
    operation: int, body: dict[str, Any], tokens: int
) -> None:
    raw = json.dumps({"model": "m", **body}).encode()
    request = parse_request(operation, raw, request_id="req_test", principal=ANONYMOUS)
    assert request.prompt.tokens == estimate(operation, json.loads(raw)) == tokens
