"""The bytes of an event stream, from messages of the mesh."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nexus.inference.v1 import inference_pb2
from nexus.types.v1 import model_pb2
from nexus_gateway.dialects.openai.inference import EventWriter
from nexus_mesh.core.errors import MeshError, Reason
from support.edge_pipeline import delta, usage

CHAT, COMPLETION = model_pb2.OPERATION_CHAT, model_pb2.OPERATION_COMPLETION


def chunk(*choices: dict[str, Any]) -> str:
    return json.dumps({"choices": list(choices)})


def events(data: bytes) -> list[Any]:
    """The parsed events; fails unless every one is a single whole data line."""
    *frames, rest = data.split(b"\n\n")
    assert rest == b""
    assert all(frame.startswith(b"data: ") and b"\n" not in frame and b"\r" not in frame for frame in frames)
    return [frame[6:].decode() if frame == b"data: [DONE]" else json.loads(frame[6:]) for frame in frames]


def writer(operation: int = CHAT, **options: Any) -> EventWriter:
    return EventWriter(operation, "req_abc", "m", **options)


def test_a_chat_stream_from_start_to_done() -> None:
    out = writer()
    data = out.chunks([chunk(delta(content="a")), chunk(delta(content="b")), chunk(delta(finish="stop"))])
    *chunks, done = events(data + out.finish(usage()))
    assert done == "[DONE]"
    assert {(c["id"], c["object"], c["created"], c["model"]) for c in chunks} == {
        ("chatcmpl-abc", "chat.completion.chunk", chunks[0]["created"], "m")
    }
    assert isinstance(chunks[0]["created"], int)
    assert [c["choices"] for c in chunks] == [
        [{"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}],
        [{"index": 0, "delta": {"content": "b"}, "finish_reason": None}],
        [{"index": 0, "delta": {}, "finish_reason": "stop"}],
    ]
    assert all("usage" not in c for c in chunks)


def test_usage_when_asked_for() -> None:
    out = writer(usage=True)
    used = inference_pb2.Usage(prompt_tokens=3, completion_tokens=2, cached_tokens=1, reasoning_tokens=0)
    *chunks, last, done = events(out.chunks([chunk(delta(content="a", finish="stop"))]) + out.finish(used))
    assert [c["usage"] for c in chunks] == [None]
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    assert done == "[DONE]"


def test_unknown_usage_is_not_invented() -> None:
    out = writer(usage=True)
    assert events(out.chunks([chunk(delta(finish="stop"))]) + out.finish(None))[-1] == "[DONE]"


def test_a_legacy_completion_stream() -> None:
    out = writer(COMPLETION)
    texts = [
        {"index": 0, "text": "a", "logprobs": {"tokens": ["a"]}},
        {"index": 0, "text": "", "finish_reason": "length"},
    ]
    first, last, _ = events(out.chunks([chunk(text) for text in texts]) + out.finish(None))
    assert (first["object"], first["id"]) == ("text_completion", "cmpl-abc")
    assert first["choices"] == [
        {"index": 0, "text": "a", "logprobs": {"tokens": ["a"]}, "finish_reason": None}
    ]
    assert last["choices"] == [{"index": 0, "text": "", "logprobs": None, "finish_reason": "length"}]


def test_each_choice_has_its_role_once_and_its_own_end() -> None:
    out = writer(choices=2)
    data = out.chunks(
        [
            chunk(delta(0, role="assistant", content="a"), delta(1, content="b")),
            chunk(delta(1, role="assistant", content="c"), delta(0, "stop")),
            chunk(delta(1, "length")),
        ]
    )
    choices = [choice for event in events(data) for choice in event["choices"]]
    assert [c["index"] for c in choices if "role" in c["delta"]] == [0, 1]
    assert [(c["index"], c["finish_reason"]) for c in choices if c["finish_reason"]] == [
        (0, "stop"),
        (1, "length"),
    ]
    assert out.finish(None) == b"data: [DONE]\n\n"


def test_reasoning_goes_by_both_names() -> None:
    [event] = events(writer().chunks([chunk(delta(reasoning_content="hm"))]))
    assert event["choices"][0]["delta"] == {"role": "assistant", "reasoning_content": "hm", "reasoning": "hm"}


def test_tool_calls_and_logprobs_travel_untouched() -> None:
    calls = [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":\n1}'}}]
    choice = {**delta(tool_calls=calls), "logprobs": {"content": []}}
    [event] = events(writer().chunks([chunk(choice)]))
    assert event["choices"][0]["delta"]["tool_calls"] == calls
    assert event["choices"][0]["logprobs"] == {"content": []}


def test_line_breaks_between_tokens_do_not_break_the_event() -> None:
    [event] = events(
        writer().chunks(['{"choices":[{"index":0,\n"delta":{"tool_calls":[\r\n{"index":\n0}]}}]}'])
    )
    assert event["choices"][0]["delta"]["tool_calls"] == [{"index": 0}]


def test_empty_deltas_make_no_events() -> None:
    out = writer()
    assert len(events(out.chunks([chunk(delta(role="assistant"))]))) == 1
    assert out.chunks([chunk(delta()), chunk(delta(role="assistant")), chunk()]) == b""


@pytest.mark.parametrize("asked", [True, False])
def test_a_failure_is_one_legal_chunk_without_an_end(asked: bool) -> None:
    out = writer(usage=asked)
    [event] = events(out.error(MeshError(Reason.BACKEND_LOST, "The backend stopped.")))
    assert event["choices"] == []
    assert event["error"] == {
        "message": "The backend stopped.",
        "type": "server_error",
        "param": None,
        "code": "stream_interrupted",
        "docs": "docs/troubleshooting.md#stream_interrupted",
    }
    assert ("usage" in event) == asked
    assert event["object"] == "chat.completion.chunk"


MALFORMED = [
    "",
    "nonsense",
    "[]",
    "{}",
    '{"choices":5}',
    '{"choices":[{"delta":{}}]}',
    '{"choices":[{"index":0}]}',
    '{"choices":[{"index":0,"delta":[]}]}',
    '{"choices":[{"index":"0","delta":{}}]}',
    '{"choices":[{"index":1,"delta":{}}]}',
    '{"choices":[{"index":-1,"delta":{}}]}',
    '{"choices":[{"index":0,"delta":{},"finish_reason":"abort"}]}',
    '{"choices":[{"index":0,"delta":{"content":"a"}}',
]


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_chunk_is_the_backend_s_fault(text: str) -> None:
    with pytest.raises(MeshError) as caught:
        writer().chunks([text])
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


def test_content_after_the_end_of_a_choice_is_refused() -> None:
    out = writer()
    out.chunks([chunk(delta(finish="stop"))])
    with pytest.raises(MeshError, match="had ended"):
        out.chunks([chunk(delta(content="more"))])


@pytest.mark.parametrize("choices", [1, 2])
def test_a_stream_whose_choices_have_not_all_ended_is_not_done(choices: int) -> None:
    out = writer(choices=choices)
    out.chunks([chunk(delta(index, finish="stop")) for index in range(choices - 1)])
    with pytest.raises(MeshError) as caught:
        out.finish(usage())
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED
