"""Ollama as it is today: by its version, without a word that is a launch option, and held to what it promises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nexus.types.v1 import model_pb2
from nexus_inference_adapters.host.backend import Backend
from nexus_mesh.core.errors import MeshError, Reason
from support.adapter_host import HELLO, Bench
from support.fake_ollama import FakeOllama
from support.fake_ollama_models import OllamaModel
from support.waiting import eventually

LLAMA = {**HELLO, "model": "llama3.2:latest"}
CITY = {"type": "object", "properties": {"city": {"$ref": "#/$defs/City"}}, "required": ["city"],
        "$defs": {"City": {"type": "string"}}}  # fmt: skip
CLOCK = {"type": "object", "properties": {"zone": {"enum": ["UTC"]}}, "required": ["zone"]}
TOOLS = [{"type": "function", "function": {"name": name, "description": "d", "parameters": schema}}
         for name, schema in (("weather", CITY), ("clock", CLOCK))]  # fmt: skip
NAMED = {"type": "function", "function": {"name": "weather"}}
JSON_OBJECT = {"response_format": {"type": "json_object"}}


async def ask(bench: Bench, backend: Backend, body: dict[str, Any], *, stream: bool) -> dict[str, Any]:
    """The message and the end of an answer, whole or put together from a stream."""
    if not stream:
        [choice] = (await bench.complete(backend, body))["choices"]
        return {**choice["message"], "end": choice["finish_reason"]}
    streamed = await bench.stream(backend, body)
    calls: list[dict[str, Any]] = []
    for choice in streamed.choices:
        for piece in choice["delta"].get("tool_calls", ()):
            if "id" in piece:
                calls.append({**piece, "function": {**piece["function"]}})
                assert piece["index"] == len(calls) - 1
            else:
                calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    return {"content": streamed.text() or None, "tool_calls": calls, "end": streamed.finish_reasons[0]}


async def test_loads_and_chats_ask_for_the_same_runner(bench: Bench, fake_ollama: FakeOllama) -> None:
    """E1: a chat after a load, and any other client's chat, find the model as it is."""
    backend = await bench.serve("ollama", fake_ollama.url)
    await backend.load(backend.offer("llama3.2"))
    await bench.complete(backend, LLAMA)
    await bench.complete(backend, {**LLAMA, **JSON_OBJECT, "max_tokens": 5, "temperature": 0})
    await bench.complete(backend, {"model": "llama3.2", "prompt": "once"}, "completion")
    assert fake_ollama.engine.loads == [("llama3.2:latest", 4096)]
    assert not any("shift" in (record.body or {}) for record in fake_ollama.requests)


@pytest.mark.parametrize(("asked", "sent"), [({}, 4000), ({"max_tokens": 9000}, 4000), ({"max_tokens": -1}, 4000),
                                              ({"max_tokens": 30}, 30)])  # fmt: skip
async def test_an_answer_ends_where_the_context_does(
    bench: Bench, fake_ollama: FakeOllama, asked: dict[str, int], sent: int
) -> None:
    """E1: beyond it the engine would drop the prompt's beginning; bounded once the loaded context is known."""
    backend = await bench.serve("ollama", fake_ollama.url)
    await backend.load(backend.offer("llama3.2"))
    await eventually(lambda: backend.offer("llama3.2").model.loaded, 8.0, "the load to be seen")
    await bench.complete(backend, {**LLAMA, **asked})
    limit = fake_ollama.requests[-1].body["options"]["num_predict"]
    assert limit == sent if sent < 4000 else 4000 < limit < 4096


@pytest.mark.parametrize("stream", [False, True])
async def test_json_comes_from_models_that_pass_over_the_word(
    bench: Bench, fake_ollama: FakeOllama, stream: bool
) -> None:
    """E2: a schema is sent in its place."""
    fake_ollama.engine.keeps_word = False
    backend = await bench.serve("ollama", fake_ollama.url)
    said = await ask(bench, backend, {**LLAMA, **JSON_OBJECT}, stream=stream)
    assert isinstance(json.loads(said["content"]), dict)


@pytest.mark.parametrize("stream", [False, True])
async def test_prose_in_place_of_json_is_no_answer(
    bench: Bench, fake_ollama: FakeOllama, stream: bool
) -> None:
    """E2, E23: what comes back is checked, and the capability is no longer believed."""
    fake_ollama.engine.keeps_schema = False
    backend = await bench.serve("ollama", fake_ollama.url)
    with pytest.raises(MeshError) as caught:
        await ask(bench, backend, {**LLAMA, **JSON_OBJECT}, stream=stream)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED
    gone = {model_pb2.CAPABILITY_JSON}
    await eventually(
        lambda: not gone & {*backend.offer("llama3.2").model.capabilities}, 8.0, "the offer to change"
    )
    assert gone < {*backend.offer("qwen3:8b").model.capabilities}


async def test_the_context_is_what_the_engine_will_give(bench: Bench) -> None:
    """E3: not what the file could have; its Modelfile's own word counts, and what loaded models show."""
    models = [OllamaModel("plain:latest", context_length=32768), OllamaModel("small:latest", context_length=2048),
              OllamaModel("own:latest", context_length=32768, num_ctx=16384)]  # fmt: skip
    async with FakeOllama(models) as fake:
        backend = await bench.serve("ollama", fake.url)
        contexts = {offer.model.id: offer.model.context_tokens for offer in backend.inspection.offers}
        assert contexts == {"plain:latest": 4096, "small:latest": 2048, "own:latest": 16384}
        fake.engine.default_num_ctx = 8192
        await bench.complete(backend, {**HELLO, "model": "plain"})
        await eventually(
            lambda: backend.offer("plain").model.context_tokens == 8192, 8.0, "the context to show"
        )


@pytest.mark.parametrize(
    ("version", "gives"), [("0.12.10", False), ("0.12.11", True), ("0.0.0", True), ("0.6.2-rc1", False)]
)
async def test_logprobs_by_version(bench: Bench, fake_ollama: FakeOllama, version: str, gives: bool) -> None:
    """D10: what the engine can is asked of its version."""
    fake_ollama.engine.version = version
    backend = await bench.serve("ollama", fake_ollama.url)
    assert (model_pb2.CAPABILITY_LOGPROBS in backend.offer("llama3.2").model.capabilities) == gives


@pytest.mark.parametrize("stream", [False, True])
async def test_logprobs_are_given(bench: Bench, fake_ollama: FakeOllama, stream: bool) -> None:
    """D10: with every key OpenAI requires, in chats and in text completions."""
    backend = await bench.serve("ollama", fake_ollama.url)
    body = {**LLAMA, "logprobs": True, "top_logprobs": 2}
    if stream:
        tokens = [each for choice in (await bench.stream(backend, body)).choices
                  for each in (choice.get("logprobs") or {}).get("content", ())]  # fmt: skip
    else:
        tokens = (await bench.complete(backend, body))["choices"][0]["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == "hello from ollama"
    assert all(len(token["top_logprobs"]) == 2 and token["bytes"] for token in tokens)
    [text] = (
        await bench.complete(backend, {"model": "llama3.2", "prompt": "a", "logprobs": 1}, "completion")
    )["choices"]
    assert text["logprobs"]["tokens"] == ["hello ", "from ", "ollama"]


async def test_logprobs_that_do_not_come_are_missed(bench: Bench, fake_ollama: FakeOllama) -> None:
    """D10: a build that says it is new and gives none is found out."""
    backend = await bench.serve("ollama", fake_ollama.url)
    fake_ollama.engine.version = "0.12.1"
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, {**LLAMA, "logprobs": True})
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", [NAMED, "required", {"type": "allowed_tools", "allowed_tools": {
    "mode": "required", "tools": [NAMED]}}])  # fmt: skip
async def test_a_required_tool_is_called(
    bench: Bench, fake_ollama: FakeOllama, choice: Any, stream: bool
) -> None:
    """D15: held to the tool's own schema, given back as its call; `oneOf` chooses among several."""
    backend = await bench.serve("ollama", fake_ollama.url)
    said = await ask(bench, backend, {**LLAMA, "tools": TOOLS, "tool_choice": choice}, stream=stream)
    [call] = said["tool_calls"]
    assert said["end"] == "tool_calls"
    assert said["content"] is None
    assert call["id"].startswith("call_")
    assert call["type"] == "function"
    expected = {"city": "x"} if choice != "required" else {"zone": "UTC"}
    assert json.loads(call["function"]["arguments"]) == expected
    assert call["function"]["name"] == ("weather" if choice != "required" else "clock")
    sent = fake_ollama.requests[-1].body
    assert "tools" not in sent
    assert "weather" in sent["messages"][0]["content"]
    assert sent["messages"][-1] == HELLO["messages"][-1]


async def test_arguments_of_the_one_tool_come_as_they_are_made(bench: Bench, fake_ollama: FakeOllama) -> None:
    """D15: streamed, not held back."""
    many = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(20)}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": many}}]
    backend = await bench.serve("ollama", fake_ollama.url)
    streamed = await bench.stream(backend, {**LLAMA, "tools": tools, "tool_choice": "required"})
    pieces = [choice for choice in streamed.choices if choice["delta"].get("tool_calls")]
    assert len(pieces) > 10


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", [NAMED, "required"])
async def test_a_tool_that_is_not_called_is_no_answer(
    bench: Bench, fake_ollama: FakeOllama, choice: Any, stream: bool
) -> None:
    """D15, E23: the answer is checked; then the model is no longer said to be able to."""
    fake_ollama.engine.keeps_schema = False
    backend = await bench.serve("ollama", fake_ollama.url)
    with pytest.raises(MeshError) as caught:
        await ask(bench, backend, {**LLAMA, "tools": TOOLS, "tool_choice": choice}, stream=stream)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED
    gone = {model_pb2.CAPABILITY_JSON, model_pb2.CAPABILITY_TOOL_CHOICE}
    await eventually(
        lambda: not gone & {*backend.offer("llama3.2").model.capabilities}, 8.0, "the offer to change"
    )


async def test_a_cut_tool_call_says_length(bench: Bench, fake_ollama: FakeOllama) -> None:
    """D15: never a call that only looks whole."""
    backend = await bench.serve("ollama", fake_ollama.url)
    body = {**LLAMA, "tools": TOOLS, "tool_choice": "required", "max_tokens": 1}
    said = await ask(bench, backend, body, stream=True)
    assert (said["end"], said["tool_calls"]) == ("length", [])


async def test_a_named_tool_must_be_one_of_the_tools(bench: Bench, fake_ollama: FakeOllama) -> None:
    """D15: the caller's mistake is told as such."""
    backend = await bench.serve("ollama", fake_ollama.url)
    other = {"type": "function", "function": {"name": "other"}}
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, {**LLAMA, "tools": TOOLS, "tool_choice": other})
    assert caught.value.reason is Reason.INVALID_REQUEST


RESIDENCE = ("num_ctx", "num_gpu", "main_gpu", "num_thread", "num_batch", "use_mmap", "use_mlock", "numa", "low_vram",
             "num_keep", "bogus")  # fmt: skip


@pytest.mark.security
@pytest.mark.parametrize("name", RESIDENCE)
async def test_no_request_moves_a_model(bench: Bench, fake_ollama: FakeOllama, name: str) -> None:
    """A12: options by allow-list, refused by name before anything is sent."""
    backend = await bench.serve("ollama", fake_ollama.url)
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, {**LLAMA, "options": {"temperature": 0, name: 1}})
    assert (caught.value.reason, caught.value.metadata["param"]) == (
        Reason.UNSUPPORTED_PARAMETER, f"options.{name}",
    )  # fmt: skip
    assert fake_ollama.engine.loads == []


@pytest.mark.security
@pytest.mark.parametrize("keep_alive", [0, "0", -1, "24h"])
async def test_no_request_decides_how_long_a_model_stays(
    bench: Bench, fake_ollama: FakeOllama, keep_alive: Any
) -> None:
    """A12: it is left out; the answer is the same."""
    backend = await bench.serve("ollama", fake_ollama.url)
    await bench.complete(backend, {**LLAMA, "keep_alive": keep_alive})
    assert "keep_alive" not in fake_ollama.requests[-1].body


async def test_sampling_options_are_sent(bench: Bench, fake_ollama: FakeOllama) -> None:
    """A12: what shapes the answer passes."""
    backend = await bench.serve("ollama", fake_ollama.url)
    await bench.complete(
        backend, {**LLAMA, "options": {"top_k": 3, "mirostat": 0, "mirostat_tau": 5}, "max_tokens": 4}
    )
    assert fake_ollama.requests[-1].body["options"] == {"top_k": 3, "num_predict": 4}


async def test_thinking_is_switched_by_the_templates_own_word(bench: Bench, fake_ollama: FakeOllama) -> None:
    """D5 on this engine: as Qwen's clients do."""
    backend = await bench.serve("ollama", fake_ollama.url)
    for switch in (
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"chat_template_kwargs": {"thinking": False}},
        {"enable_thinking": False},
        {"thinking": {"type": "disabled"}},
        {"reasoning": {"enabled": False}},
        {"reasoning": {"effort": "none"}},
    ):
        await bench.complete(backend, {**HELLO, "model": "qwen3:8b", **switch})
        assert fake_ollama.requests[-1].body["think"] is False, switch


@pytest.mark.parametrize("door", ["", "/v1"])
async def test_ollama_is_known_behind_any_door(bench: Bench, fake_ollama: FakeOllama, door: str) -> None:
    """E24: whatever kind it is configured as, it is spoken to in its own way."""
    backend = await bench.serve("openai_compatible", fake_ollama.url + door)
    assert backend.describe().kind == "ollama"
    await bench.complete(backend, LLAMA)
    assert fake_ollama.requests[-1].path == "/api/chat"
    long = [{"role": "user", "content": "word " * 6000}]
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, {**LLAMA, "messages": long})
    assert caught.value.reason is Reason.CONTEXT_LENGTH
    assert fake_ollama.engine.truncated == 0
