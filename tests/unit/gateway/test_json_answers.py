"""Whole answers: passed on when they are whole, and put into the form the client asked for."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from nexus.types.v1 import model_pb2
from nexus_gateway.access import ANONYMOUS
from nexus_gateway.core.request import InferenceRequest
from nexus_gateway.dialects.openai.answers import answer_body, float32_base64
from nexus_mesh.core.errors import MeshError, Reason
from support.edge_pipeline import default_body


def asked(operation: int, answers: int = 1, base64: bool = False) -> InferenceRequest:
    return InferenceRequest(
        operation, "m", {}, False, False, frozenset(), "req_1", ANONYMOUS, answers=answers, base64=base64
    )


CHAT = asked(model_pb2.OPERATION_CHAT)
EMBEDDING = model_pb2.OPERATION_EMBEDDING


def test_a_good_answer_is_passed_on_as_it_is() -> None:
    assert answer_body(CHAT, default_body(CHAT)) == default_body(CHAT).encode()


def test_reasoning_goes_by_both_names() -> None:
    answer = json.loads(default_body(CHAT))
    answer["choices"][0]["message"]["reasoning_content"] = "hm"
    message = json.loads(answer_body(CHAT, json.dumps(answer)))["choices"][0]["message"]
    assert (message["reasoning"], message["reasoning_content"], message["content"]) == (
        "hm",
        "hm",
        "Hello world",
    )


@pytest.mark.parametrize("body", ["", "null", "{}", '{"id":"x"}', default_body(CHAT)[:-1], '{"error":{}}'])
def test_half_an_answer_is_the_backend_s_fault(body: str) -> None:
    with pytest.raises(MeshError) as caught:
        answer_body(CHAT, body)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


def test_fewer_choices_than_asked_for_are_no_answer() -> None:
    with pytest.raises(MeshError):
        answer_body(asked(model_pb2.OPERATION_CHAT, 2), default_body(CHAT))


@pytest.mark.parametrize("wanted", [True, False])
def test_vectors_come_in_order_and_in_the_form_asked_for(wanted: bool) -> None:
    request = asked(EMBEDDING, 3, base64=wanted)
    answer: dict[str, Any] = json.loads(answer_body(request, default_body(request)))
    assert [row["index"] for row in answer["data"]] == [0, 1, 2]
    assert {row["object"] for row in answer["data"]} == {"embedding"}
    vectors = [row["embedding"] for row in answer["data"]]
    if wanted:
        vectors = [list(struct.unpack("<3f", base64.b64decode(vector))) for vector in vectors]
    assert vectors == [[index + 0.5, -0.25, 0.125] for index in range(3)]
    assert answer["usage"] == {"prompt_tokens": 1, "total_tokens": 1}


@pytest.mark.parametrize("indices", [[], [0], [0, 0], [0, 2], [0, 1, 2]])
def test_missing_vectors_are_no_answer(indices: list[int]) -> None:
    data = [{"index": index, "embedding": [1.0]} for index in indices]
    with pytest.raises(MeshError):
        answer_body(asked(EMBEDDING, 2), json.dumps({"data": data, "model": "m", "usage": {}}))


def test_base64_is_little_endian_float32() -> None:
    assert float32_base64([1.0, -2.0]) == base64.b64encode(bytes.fromhex("0000803f000000c0")).decode()
