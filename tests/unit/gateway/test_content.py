"""What counts as the first content of a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nexus.inference.v1 import inference_pb2
from nexus_gateway.dispatch import streams
from nexus_mesh.core.errors import MeshError, Reason
from nexus_operations import Operation, spec_of

CHAT, COMPLETION = spec_of(Operation.CHAT), spec_of(Operation.COMPLETION)


def has_content(message: inference_pb2.StreamResponse) -> bool:
    return streams.has_content(message, COMPLETION if '"text"' in str(message.chunks.json) else CHAT)


def chunk(*choices: dict[str, Any]) -> inference_pb2.StreamResponse:
    text = json.dumps({"choices": list(choices)})
    return inference_pb2.StreamResponse(chunks=inference_pb2.Chunks(json=[text]))


@pytest.mark.parametrize(
    "choice",
    [
        {"delta": {"content": "a"}},
        {"delta": {"content": " "}},
        {"delta": {"reasoning_content": "hm"}},
        {"delta": {"tool_calls": [{"index": 0}]}},
        {"delta": {"refusal": "no"}},
        {"delta": {}, "finish_reason": "stop"},
        {"text": "a", "finish_reason": None},
    ],
)
def test_is_content(choice: dict[str, Any]) -> None:
    assert has_content(chunk(choice))


@pytest.mark.parametrize(
    "message",
    [
        chunk(),
        chunk({"delta": {"role": "assistant"}}),
        chunk({"delta": {"role": "assistant", "content": ""}, "finish_reason": None}),
        chunk({"delta": {"content": None, "tool_calls": []}}),
        chunk({"delta": None}),
        chunk({"text": ""}),
        inference_pb2.StreamResponse(progress=inference_pb2.Progress(phase="loading")),
        inference_pb2.StreamResponse(),
    ],
)
def test_is_no_content(message: inference_pb2.StreamResponse) -> None:
    assert not has_content(message)


def test_the_end_is_content_and_so_is_any_of_several_chunks() -> None:
    assert has_content(inference_pb2.StreamResponse(finish=inference_pb2.Finish()))
    both = inference_pb2.Chunks(json=['{"choices":[]}', '{"choices":[{"text":"x"}]}'])
    assert has_content(inference_pb2.StreamResponse(chunks=both))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", '{"choices":1}', '{"choices":[1]}', '{"choices":[{"delta":1}]}']
)
def test_nonsense_is_the_backends_fault(text: str) -> None:
    with pytest.raises(MeshError) as caught:
        has_content(inference_pb2.StreamResponse(chunks=inference_pb2.Chunks(json=[text])))
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED
