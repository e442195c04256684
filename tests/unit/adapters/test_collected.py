"""A stream put together is the answer it would have been as a whole."""

from __future__ import annotations

import json
from typing import Any

from nexus.inference.v1 import inference_pb2
from nexus_inference_adapters.contract.work import Work
from nexus_inference_adapters.openai.collected import Collected
from nexus_inference_adapters.openai.normalise import from_whole
from nexus_inference_adapters.vocabulary import CHAT, COMPLETION


def collect(operation: int, body: dict[str, Any], *choices: dict[str, Any]) -> dict[str, Any]:
    collected = Collected()
    collected.add([json.dumps({"choices": [choice]}) for choice in choices])
    usage = inference_pb2.Usage(prompt_tokens=3, completion_tokens=2, cached_tokens=1)
    whole = from_whole(Work(operation, "m", "m", body, "req_1"), collected.whole(usage))
    return json.loads(whole.body)


def delta(index: int = 0, finish_reason: str | None = None, **said: Any) -> dict[str, Any]:
    return {"index": index, "delta": said, "finish_reason": finish_reason}


def test_interleaved_choices_with_reasoning() -> None:
    answer = collect(
        CHAT, {"n": 2},
        delta(1, role="assistant", content="b"), delta(0, reasoning_content="hm"), delta(0, content="a "),
        delta(1, content="c"), delta(0, "stop", content="d"), delta(1, "length"),
    )  # fmt: skip
    first, second = answer["choices"]
    assert (first["message"]["content"], first["message"]["reasoning_content"]) == ("a d", "hm")
    assert (second["message"]["content"], second["finish_reason"]) == ("bc", "length")
    assert answer["usage"] == {
        "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1},
    }  # fmt: skip


def test_tool_calls_in_pieces() -> None:
    def call(index: int, arguments: str, **begin: Any) -> dict[str, Any]:
        name = {"name": begin.pop("name")} if "name" in begin else {}
        return {"index": index, **begin, "function": {**name, "arguments": arguments}}

    answer = collect(
        CHAT, {},
        delta(tool_calls=[call(0, '{"a"', id="c0", type="function", name="f")]),
        delta(tool_calls=[call(0, ":1}"), call(1, "", id="c1", type="function", name="g")]),
        delta(finish_reason="tool_calls"),
    )  # fmt: skip
    message = answer["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "c0", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "c1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


def test_text_and_log_probabilities() -> None:
    pieces = [{"index": 0, "text": text, "logprobs": {"tokens": [text]}} for text in "ab"]
    answer = collect(COMPLETION, {}, *pieces, {"index": 0, "text": "", "finish_reason": "stop"})
    assert answer["choices"][0]["text"] == "ab"
    assert answer["choices"][0]["logprobs"] == {"tokens": ["a", "b"]}
