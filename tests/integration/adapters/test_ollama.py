"""The Ollama adapter: native API only, nothing dropped, nothing truncated."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from nexus.types.v1 import model_pb2
from nexus_mesh.core.errors import MeshError, Reason
from support.adapter_host import HELLO, Bench
from support.fake_ollama import FakeOllama
from support.fake_ollama_models import OllamaModel
from support.waiting import eventually

PNG = "iVBORw0KGgo="
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
LLAMA = {**HELLO, "model": "llama3.2:latest"}
QWEN = {**HELLO, "model": "qwen3:8b"}


async def refusal(bench: Bench, fake: FakeOllama, body: dict[str, Any], operation: str = "chat") -> MeshError:
    backend = await bench.serve("ollama", fake.url)
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, {**LLAMA, **body}, operation)
    return caught.value


async def test_only_the_native_api_is_used(bench: Bench, fake_ollama: FakeOllama) -> None:
    backend = await bench.serve("ollama", fake_ollama.url)
    await bench.complete(backend, LLAMA)
    await bench.stream(backend, LLAMA)
    await bench.complete(backend, {"model": "llama3.2", "prompt": "once"}, "completion")
    await bench.complete(backend, {"model": "all-minilm", "input": "a"}, "embedding")
    assert not any("/v1" in path for path in fake_ollama.paths)


async def test_catalog(bench: Bench, fake_ollama: FakeOllama) -> None:
    backend = await bench.serve("ollama", fake_ollama.url)
    models = {offer.model.id: offer.model for offer in backend.inspection.offers}
    assert model_pb2.CAPABILITY_REASONING in models["qwen3:8b"].capabilities
    assert model_pb2.CAPABILITY_VISION in models["llava:latest"].capabilities
    assert list(models["all-minilm:latest"].operations) == [model_pb2.OPERATION_EMBEDDING]
    assert models["gpt-oss:120b-cloud"].context_tokens == 131_072
    assert {name for name, model in models.items() if model.remote} == {"gpt-oss:120b-cloud"}
    assert not any(model.loaded for model in models.values())
    for model in models.values():
        assert model_pb2.CAPABILITY_CHOICES not in model.capabilities
        # D15: a schema brings the call about.
        generates = model_pb2.OPERATION_CHAT in model.operations
        assert (model_pb2.CAPABILITY_TOOL_CHOICE in model.capabilities) == generates
        assert (model_pb2.CAPABILITY_LOGPROBS in model.capabilities) == generates
        assert model_pb2.CAPABILITY_TOKEN_INPUT not in model.capabilities


@pytest.mark.parametrize("odd", [{"model_info": ["llama"]}, {"model_info": "llama"}, {"capabilities": 3}])
async def test_details_that_make_no_sense_cost_no_model(
    bench: Bench, fake_ollama: FakeOllama, monkeypatch: pytest.MonkeyPatch, odd: dict[str, Any]
) -> None:
    shown = OllamaModel.show
    monkeypatch.setattr(OllamaModel, "show", lambda model: shown(model) | odd)
    backend = await bench.serve("ollama", fake_ollama.url)
    assert "llama3.2:latest" in {offer.model.id for offer in backend.inspection.offers}


async def test_details_are_asked_once_per_digest(bench: Bench, fake_ollama: FakeOllama) -> None:
    await bench.serve("ollama", fake_ollama.url)
    shown = fake_ollama.paths.count("/api/show")
    await eventually(lambda: fake_ollama.paths.count("/api/tags") >= 2, 8.0, "a second inspection")
    assert fake_ollama.paths.count("/api/show") == shown == 5


async def test_a_name_without_a_tag_means_latest(bench: Bench, fake_ollama: FakeOllama) -> None:
    backend = await bench.serve("ollama", fake_ollama.url)
    body = await bench.complete(backend, {**HELLO, "model": "llama3.2"})
    assert body["model"] == "llama3.2:latest"


async def test_an_unloaded_model_is_no_unhealthy_backend(bench: Bench, fake_ollama: FakeOllama) -> None:
    backend = await bench.serve("ollama", fake_ollama.url)
    assert fake_ollama.engine.loaded == []
    assert (await bench.complete(backend, LLAMA))["choices"][0]["finish_reason"] == "stop"


async def test_parameters_reach_the_engine_by_their_native_names(
    bench: Bench, fake_ollama: FakeOllama
) -> None:
    backend = await bench.serve("ollama", fake_ollama.url)
    await bench.complete(
        backend,
        {
            **LLAMA,
            "max_completion_tokens": 9,
            "max_tokens": 4,
            "temperature": 0,
            "top_p": None,
            "stop": "x",
            "seed": 7,
        },
    )
    sent = fake_ollama.requests[-1].body
    assert sent["options"] == {"num_predict": 9, "temperature": 0, "stop": ["x"], "seed": 7}
    assert (sent["stream"], sent["truncate"]) == (True, False)


async def test_num_ctx_stays_constant(bench: Bench, fake_ollama: FakeOllama) -> None:
    backend = await bench.serve("ollama", fake_ollama.url, context_tokens=2048)
    for _ in range(3):
        await bench.complete(backend, LLAMA)
        await bench.complete(backend, {**LLAMA, "prompt": "once"}, "completion")
    assert fake_ollama.engine.loads == [("llama3.2:latest", 2048)]
    assert all(offer.model.context_tokens == 2048 for offer in backend.inspection.offers)


async def test_a_long_prompt_is_refused_not_cut(bench: Bench, fake_ollama: FakeOllama) -> None:
    long = [{"role": "user", "content": "word " * 5000}]
    assert (await refusal(bench, fake_ollama, {"messages": long})).reason is Reason.CONTEXT_LENGTH
    assert fake_ollama.engine.truncated == 0


async def test_a_long_embedding_is_refused_not_cut(bench: Bench, fake_ollama: FakeOllama) -> None:
    body = {"model": "all-minilm:latest", "input": "word " * 5000}
    assert (await refusal(bench, fake_ollama, body, "embedding")).reason is Reason.CONTEXT_LENGTH


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("n", 2),
        ("logit_bias", {"1": 5}),
        ("top_a", 0.5),
        ("prompt_logprobs", 1),
        ("response_format", {"type": "grammar"}),
        ("functions", [{"name": "f"}]),
        ("audio", {"voice": "a"}),
        ("options", {"num_ctx": 999}),
    ],
)
async def test_what_ollama_would_ignore_is_refused(
    bench: Bench, fake_ollama: FakeOllama, param: str, value: Any
) -> None:
    error = await refusal(bench, fake_ollama, {param: value})
    assert error.reason is Reason.UNSUPPORTED_PARAMETER
    assert error.metadata["param"].startswith(param)
    assert fake_ollama.engine.runs == []


@pytest.mark.parametrize("parallel", [False, True])
async def test_one_call_at_most_where_no_more_are_wanted(
    bench: Bench, fake_ollama: FakeOllama, parallel: bool
) -> None:
    """D15: LangChain's structured output and agents that work by steps send `parallel_tool_calls: false`."""
    fake_ollama.engine.tool_calls = [("weather", {"city": "Bonn"}), ("weather", {"city": "Rome"})]
    backend = await bench.serve("ollama", fake_ollama.url)
    body = {**LLAMA, "tools": TOOLS, "parallel_tool_calls": parallel}
    whole = (await bench.complete(backend, body))["choices"][0]
    assert len(whole["message"]["tool_calls"]) == (2 if parallel else 1)
    streamed = await bench.stream(backend, body)
    indexes = {call["index"] for choice in streamed.choices for call in choice["delta"].get("tool_calls", ())}
    assert indexes == ({0, 1} if parallel else {0})
    assert (whole["finish_reason"], streamed.finish_reasons) == ("tool_calls", ["tool_calls"])


async def test_harmless_parameters_pass(bench: Bench, fake_ollama: FakeOllama) -> None:
    backend = await bench.serve("ollama", fake_ollama.url)
    harmless = {
        "n": 1,
        "logit_bias": {},
        "tool_choice": "auto",
        "logprobs": False,
        "user": "u",
        "store": True,
    }
    await bench.complete(
        backend, {**LLAMA, **harmless, "response_format": {"type": "text"}, "functions": None}
    )


async def test_parts_images_and_tool_results_are_translated(bench: Bench, fake_ollama: FakeOllama) -> None:
    call = {
        "id": "call_9",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Bonn"}'},
    }
    messages = [
        {
            "role": "developer",
            "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "kind."}],
        },
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"},
        {"role": "tool", "tool_call_id": "call_9", "content": [{"type": "text", "text": "sunny"}]},
    ]
    backend = await bench.serve("ollama", fake_ollama.url)
    await bench.complete(backend, {"model": "llava:latest", "messages": messages})
    system, user, assistant, tool = fake_ollama.requests[-1].body["messages"]
    assert system == {"role": "system", "content": "Be kind."}
    assert user == {"role": "user", "content": "look", "images": [PNG]}
    assert assistant["tool_calls"][0]["function"] == {"name": "weather", "arguments": {"city": "Bonn"}}
    assert assistant["thinking"] == "hm"
    assert tool == {"role": "tool", "content": "sunny", "tool_name": "weather", "tool_call_id": "call_9"}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]},
            "UNSUPPORTED",
        ),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, "UNSUPPORTED"),
        ({"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}, "INVALID"),
    ],
)
async def test_messages_ollama_cannot_take(
    bench: Bench, fake_ollama: FakeOllama, message: dict[str, Any], reason: str
) -> None:
    error = await refusal(bench, fake_ollama, {"messages": [message]})
    assert error.reason.value.startswith(reason)


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [("{oops", {"arguments": "{oops"}), ("[1]", {"arguments": "[1]"}), ("null", {}), ("", {})],
)
async def test_a_chat_outlives_what_a_model_once_got_wrong(
    bench: Bench, fake_ollama: FakeOllama, arguments: str, kept: Any
) -> None:
    """D6: every later turn of such a chat was refused."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    ]
    backend = await bench.serve("ollama", fake_ollama.url)
    await bench.complete(backend, {**LLAMA, "messages": messages})
    assert fake_ollama.requests[-1].body["messages"][0]["tool_calls"][0]["function"]["arguments"] == kept


async def test_a_result_whose_call_the_client_has_dropped(bench: Bench, fake_ollama: FakeOllama) -> None:
    """D: histories are cut to fit a context, and not always between a call and its result."""
    messages = [{"role": "tool", "tool_call_id": "gone", "content": "x"}, {"role": "user", "content": "so?"}]
    backend = await bench.serve("ollama", fake_ollama.url)
    await bench.complete(backend, {**LLAMA, "messages": messages})
    assert fake_ollama.requests[-1].body["messages"][0] == {
        "role": "tool", "content": "x", "tool_call_id": "gone",
    }  # fmt: skip


@pytest.mark.parametrize("with_ids", [False, True])
async def test_tool_calls_get_index_id_and_text_arguments(
    bench: Bench, fake_ollama: FakeOllama, with_ids: bool
) -> None:
    fake_ollama.engine.answer = ""
    fake_ollama.engine.tool_calls = [("weather", {"city": "K\u00f6ln"}), ("time", {})]
    fake_ollama.engine.tool_call_ids = with_ids
    backend = await bench.serve("ollama", fake_ollama.url)
    [choice] = (await bench.complete(backend, {**LLAMA, "tools": TOOLS}))["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    streamed = await bench.stream(backend, {**LLAMA, "tools": TOOLS})
    pieces = [piece for one in streamed.choices for piece in one["delta"].get("tool_calls", [])]
    assert [piece["index"] for piece in pieces] == [0, 1]
    for calls in (choice["message"]["tool_calls"], pieces):
        assert json.loads(calls[0]["function"]["arguments"]) == {"city": "K\u00f6ln"}
        assert "K\u00f6ln" in calls[0]["function"]["arguments"]
        assert all(call["id"].startswith("call_") and call["type"] == "function" for call in calls)
        assert calls[0]["id"] != calls[1]["id"]
    assert streamed.finish_reasons == ["tool_calls"]


async def test_tool_choice_none_sends_no_tools(bench: Bench, fake_ollama: FakeOllama) -> None:
    backend = await bench.serve("ollama", fake_ollama.url)
    await bench.complete(backend, {**LLAMA, "tools": TOOLS, "tool_choice": "none"})
    assert "tools" not in fake_ollama.requests[-1].body


@pytest.mark.parametrize(
    ("effort", "think"), [("none", False), ("minimal", "low"), ("medium", "medium"), ("xhigh", "max")]
)
async def test_reasoning_effort(bench: Bench, fake_ollama: FakeOllama, effort: str, think: Any) -> None:
    fake_ollama.engine.thought = "hm hm"
    backend = await bench.serve("ollama", fake_ollama.url)
    streamed = await bench.stream(backend, {**QWEN, "reasoning_effort": effort})
    assert fake_ollama.requests[-1].body["think"] == think
    assert streamed.text(key="reasoning_content") == ("" if think is False else "hm hm")
    assert streamed.text() == "hello from ollama"


async def test_a_model_that_cannot_is_a_missing_capability(bench: Bench, fake_ollama: FakeOllama) -> None:
    error = await refusal(bench, fake_ollama, {"think": "high"})
    assert error.reason is Reason.CAPABILITY_MISSING


@pytest.mark.parametrize(
    "switch",
    [
        {"reasoning_effort": "low"},
        {"enable_thinking": False},
        {"thinking": {"type": "disabled"}},
        {"reasoning": {"effort": "high"}},
        {"chat_template_kwargs": {"enable_thinking": True}},
    ],
    ids=str,
)
async def test_a_model_that_cannot_think_is_asked_without_a_word_of_it(
    bench: Bench, fake_ollama: FakeOllama, switch: dict[str, Any]
) -> None:
    """D: agents send one effort to every model; a template without the variable passes over it too."""
    backend = await bench.serve("ollama", fake_ollama.url)
    await bench.complete(backend, {**LLAMA, **switch})
    assert "think" not in fake_ollama.requests[-1].body


@pytest.mark.parametrize(
    ("response_format", "native"),
    [
        ({"type": "json_object"}, {"type": "object"}),
        (
            {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "title": "x"}}},
            {"type": "object", "title": "x"},
        ),
    ],
)
async def test_response_format(
    bench: Bench, fake_ollama: FakeOllama, response_format: Any, native: Any
) -> None:
    backend = await bench.serve("ollama", fake_ollama.url)
    await bench.complete(backend, {**LLAMA, "response_format": response_format})
    assert fake_ollama.requests[-1].body["format"] == native


@pytest.mark.parametrize("in_done", [False, True])
async def test_the_last_words_are_not_lost(bench: Bench, fake_ollama: FakeOllama, in_done: bool) -> None:
    fake_ollama.engine.content_in_done = in_done
    backend = await bench.serve("ollama", fake_ollama.url)
    streamed = await bench.stream(backend, LLAMA)
    assert streamed.text() == "hello from ollama"
    assert streamed.finish is not None
    assert streamed.finish.usage is not None
    assert streamed.finish.usage.completion_tokens == 3


async def test_an_absent_count_is_zero(bench: Bench, fake_ollama: FakeOllama) -> None:
    fake_ollama.engine.answer = ""
    backend = await bench.serve("ollama", fake_ollama.url)
    body = await bench.complete(backend, LLAMA)
    assert body["usage"] == {"prompt_tokens": 2, "completion_tokens": 0, "total_tokens": 2}


async def test_an_error_in_the_stream_is_an_error(bench: Bench, fake_ollama: FakeOllama) -> None:
    fake_ollama.engine.fail_after = 2
    backend = await bench.serve("ollama", fake_ollama.url)
    with pytest.raises(MeshError) as caught:
        await bench.stream(backend, LLAMA)
    assert caught.value.reason is Reason.UPSTREAM_ERROR


async def test_a_cut_answer_says_length(bench: Bench, fake_ollama: FakeOllama) -> None:
    backend = await bench.serve("ollama", fake_ollama.url)
    assert (await bench.stream(backend, {**LLAMA, "max_tokens": 1})).finish_reasons == ["length"]


async def test_text_completion_is_raw_and_short_by_default(bench: Bench, fake_ollama: FakeOllama) -> None:
    backend = await bench.serve("ollama", fake_ollama.url)
    streamed = await bench.stream(backend, {"model": "llama3.2:latest", "prompt": ["once"]}, "completion")
    assert streamed.text() == "hello from ollama"
    sent = fake_ollama.requests[-1].body
    assert (sent["raw"], sent["options"], sent["prompt"]) == (True, {"num_predict": 16}, "once")


@pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], ""])
async def test_prompts_ollama_cannot_take(bench: Bench, fake_ollama: FakeOllama, prompt: Any) -> None:
    error = await refusal(bench, fake_ollama, {"prompt": prompt}, "completion")
    assert error.metadata["param"] == "prompt"


async def test_embeddings(bench: Bench, fake_ollama: FakeOllama) -> None:
    backend = await bench.serve("ollama", fake_ollama.url)
    body = await bench.complete(
        backend, {"model": "all-minilm", "input": ["a b", "c"], "encoding_format": "base64"}, "embedding"
    )
    assert [row["index"] for row in body["data"]] == [0, 1]
    assert isinstance(body["data"][0]["embedding"], str)
    assert body["usage"]["prompt_tokens"] == 3
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, {"model": "all-minilm", "input": [1, 2]}, "embedding")
    assert caught.value.reason is Reason.UNSUPPORTED_PARAMETER


async def test_a_chat_model_does_not_embed(bench: Bench, fake_ollama: FakeOllama) -> None:
    error = await refusal(bench, fake_ollama, {"input": "a"}, "embedding")
    assert error.reason is Reason.CAPABILITY_MISSING


async def test_a_full_queue_is_overload(bench: Bench, fake_ollama: FakeOllama) -> None:
    fake_ollama.engine.num_parallel, fake_ollama.engine.max_queue, fake_ollama.engine.interval = 1, 0, 0.5
    backend = await bench.serve("ollama", fake_ollama.url)
    first = asyncio.ensure_future(bench.complete(backend, LLAMA))
    await eventually(lambda: fake_ollama.engine.busy, what="the first request to run")
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, LLAMA)
    assert caught.value.reason is Reason.OVERLOAD
    await first


async def test_cancelling_closes_the_connection(bench: Bench, fake_ollama: FakeOllama) -> None:
    fake_ollama.engine.interval = 0.2
    backend = await bench.serve("ollama", fake_ollama.url)
    task = asyncio.ensure_future(bench.stream(backend, LLAMA))
    await eventually(lambda: fake_ollama.requests[-1].path == "/api/chat", what="the request to arrive")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await eventually(lambda: fake_ollama.requests[-1].cancelled, 1.0, "the backend to be told")


@pytest.mark.parametrize("operation", ["chat", "completion"])
async def test_a_silent_engine_is_given_up_long_before_the_total_time_for_whole_answers_too(
    impatient: Bench, fake_ollama: FakeOllama, operation: str
) -> None:
    fake_ollama.engine.interval = 30.0
    backend = await impatient.serve("ollama", fake_ollama.url)
    with pytest.raises(MeshError) as caught:
        await impatient.complete(backend, {**LLAMA, "prompt": "hi"}, operation)
    assert caught.value.reason is Reason.STREAM_IDLE_TIMEOUT
    await eventually(lambda: fake_ollama.engine.busy == 0, 2.0, "the engine to be let go")
