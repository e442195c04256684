"""The OpenAI-compatible adapter against correct backends: what goes out, and the normal form of what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
import support.fake_openai_modes as modes
from nexus.types.v1 import model_pb2
from nexus_inference_adapters.contract.work import Progress
from nexus_mesh.core.errors import MeshError, Reason
from support.adapter_host import HELLO, Bench
from support.fake_openai import FakeOpenAI
from support.fake_openai_script import Answer, Head, Send, Wait
from support.fake_vllm import FakeVllm
from support.llama_cpp import LlamaCppServer
from support.openai_wire import DONE, Call, Reply, sse

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


async def test_whole_answer_has_every_required_key(bench: Bench, fake_openai: FakeOpenAI) -> None:
    backend = await bench.serve("openai_compatible", fake_openai.url)
    body = await bench.complete(backend, HELLO)
    assert body["id"] == "chatcmpl-abc"
    assert body["object"] == "chat.completion"
    assert body["model"] == "fake-model"
    assert isinstance(body["created"], int)
    [choice] = body["choices"]
    assert choice["message"] == {"role": "assistant", "content": "tok0 tok1 tok2 tok3 tok4 ", "refusal": None}
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "stop", None)
    assert body["usage"] == {"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7}


async def test_stream_holds_only_choices_and_ends_with_usage(bench: Bench, fake_openai: FakeOpenAI) -> None:
    backend = await bench.serve("openai_compatible", fake_openai.url)
    streamed = await bench.stream(backend, {**HELLO, "stream_options": {"include_usage": False}})
    assert all(set(chunk) == {"choices"} for chunk in streamed.chunks)
    assert streamed.chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert sum("role" in choice["delta"] for choice in streamed.choices) == 1
    assert streamed.text() == "tok0 tok1 tok2 tok3 tok4 "
    assert streamed.finish_reasons == ["stop"]
    assert streamed.finish is not None
    assert streamed.finish.usage is not None
    assert (streamed.finish.usage.prompt_tokens, streamed.finish.usage.completion_tokens) == (2, 5)


async def test_the_backend_gets_its_own_model_name_and_every_parameter_of_its_kind(
    bench: Bench, fake_openai: FakeOpenAI
) -> None:
    backend = await bench.serve("openai_compatible", fake_openai.url)
    body = {**HELLO, "model": "fake-model", "top_k": 3, "chat_template_kwargs": {"a": 1}}
    await bench.complete(backend, {**body, "keep_alive": "5m", "kv_transfer_params": None})
    sent = fake_openai.calls[-1]
    assert not {"keep_alive", "kv_transfer_params"} & sent.body.keys()
    assert sent.body["top_k"] == 3
    assert sent.body["chat_template_kwargs"] == {"a": 1}
    assert sent.headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in sent.headers


async def test_chunks_that_arrive_together_go_on_together(bench: Bench, fake_openai: FakeOpenAI) -> None:
    def at_once(call: Call) -> Answer:
        reply = Reply(call)
        words = b"".join(sse(reply.delta({"content": f"w{number} "})) for number in range(20))
        return Answer([Send(words + sse(reply.delta({}, finish_reason="stop")) + DONE)])

    fake_openai.mode = at_once
    backend = await bench.serve("openai_compatible", fake_openai.url)
    streamed = await bench.stream(backend, HELLO)
    assert streamed.messages == [21]


async def test_a_key_goes_to_its_backend_only(
    bench: Bench, fake_openai: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOX_KEY", "sk-box")
    async with FakeOpenAI("other-model", api_key="sk-box") as locked:
        with_key = await bench.serve("openai_compatible", locked.url, api_key_env="BOX_KEY")
        without = await bench.serve("openai_compatible", fake_openai.url)
        for name in ("base_url", "api_base"):
            with pytest.raises(MeshError):
                await bench.complete(with_key, {**HELLO, name: fake_openai.url})
        await bench.complete(with_key, HELLO)
        await bench.complete(without, HELLO)
    assert locked.calls[-1].headers["Authorization"] == "Bearer sk-box"
    assert all("Authorization" not in record.headers for record in fake_openai.requests)


async def test_redirects_are_not_followed(bench: Bench, fake_openai: FakeOpenAI) -> None:
    async with FakeOpenAI() as elsewhere:
        target = f"{elsewhere.url}/v1/chat/completions"
        fake_openai.mode = modes.error(307, {}, {"Location": target})
        backend = await bench.serve("openai_compatible", fake_openai.url)
        with pytest.raises(MeshError) as caught:
            await bench.complete(backend, HELLO)
        assert caught.value.reason is Reason.UPSTREAM_ERROR
        assert elsewhere.requests == []


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
async def test_reasoning_has_one_name(bench: Bench, fake_openai: FakeOpenAI, key: str) -> None:
    fake_openai.mode = modes.reasoning("let me think", "the answer", key=key)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    message = (await bench.complete(backend, HELLO))["choices"][0]["message"]
    assert message["reasoning_content"] == "let me think"
    assert "reasoning" not in message
    streamed = await bench.stream(backend, HELLO)
    assert streamed.text(key="reasoning_content") == "let me think"
    assert streamed.text(key="reasoning") == ""
    assert streamed.text() == "the answer"


async def test_tool_calls_carry_index_once_named(bench: Bench, fake_openai: FakeOpenAI) -> None:
    fake_openai.mode = modes.tool_calls(("weather", '{"city":"Bonn"}'), ("time", "{}"), pieces=3)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    message = (await bench.complete(backend, {**HELLO, "tools": TOOLS}))["choices"][0]["message"]
    assert message["content"] is None
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["weather", "time"]
    streamed = await bench.stream(backend, {**HELLO, "tools": TOOLS})
    pieces = [piece for choice in streamed.choices for piece in choice["delta"].get("tool_calls", [])]
    assert [piece["index"] for piece in pieces if piece.get("id")] == [0, 1]
    arguments = "".join(piece["function"].get("arguments", "") for piece in pieces if piece["index"] == 0)
    assert json.loads(arguments) == {"city": "Bonn"}
    assert streamed.finish_reasons == ["tool_calls"]


async def test_choices_interleave_and_each_finishes(bench: Bench, fake_openai: FakeOpenAI) -> None:
    backend = await bench.serve("openai_compatible", fake_openai.url)
    streamed = await bench.stream(backend, {**HELLO, "n": 3})
    assert [streamed.text(index) for index in range(3)] == ["tok0 tok1 tok2 tok3 tok4 "] * 3
    assert streamed.finish_reasons == ["stop"] * 3


async def test_fewer_choices_than_asked_for_are_no_answer(bench: Bench, fake_openai: FakeOpenAI) -> None:
    def ignores_n(call: Call) -> Answer:
        return modes.ok()(Call(call.kind, {**call.body, "n": 1}))

    fake_openai.mode = ignores_n
    backend = await bench.serve("openai_compatible", fake_openai.url)
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, {**HELLO, "n": 2})
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED
    with pytest.raises(MeshError):
        await bench.stream(backend, {**HELLO, "n": 2})


async def test_text_completions(bench: Bench, fake_openai: FakeOpenAI) -> None:
    backend = await bench.serve("openai_compatible", fake_openai.url)
    body = await bench.complete(backend, {"prompt": "once upon"}, "completion")
    assert (body["object"], body["id"]) == ("text_completion", "cmpl-abc")
    assert body["choices"][0]["text"] == "tok0 tok1 tok2 tok3 tok4 "
    assert fake_openai.calls[-1].body["max_tokens"] == 16
    streamed = await bench.stream(backend, {"prompt": "once upon", "max_tokens": 2}, "completion")
    assert streamed.text() == "tok0 tok1 "
    assert streamed.finish_reasons == ["length"]


@pytest.mark.parametrize("asked", ["float", "base64"])
@pytest.mark.parametrize("given", ["float", "base64"])
async def test_embeddings_come_in_the_asked_form(
    bench: Bench, fake_openai: FakeOpenAI, asked: str, given: str
) -> None:
    fake_openai.mode = lambda call: modes.ok()(Call(call.kind, {**call.body, "encoding_format": given}))
    backend = await bench.serve("openai_compatible", fake_openai.url)
    body = await bench.complete(backend, {"input": ["a b", "c"], "encoding_format": asked}, "embedding")
    assert [row["index"] for row in body["data"]] == [0, 1]
    assert all(isinstance(row["embedding"], str if asked == "base64" else list) for row in body["data"])
    assert body["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


async def test_embeddings_are_put_in_order(bench: Bench, fake_openai: FakeOpenAI) -> None:
    rows = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    fake_openai.mode = modes.error(200, {"data": rows})
    backend = await bench.serve("openai_compatible", fake_openai.url)
    body = await bench.complete(backend, {"input": ["a", "b"]}, "embedding")
    assert [row["embedding"] for row in body["data"]] == [[1.0], [2.0]]


@pytest.mark.parametrize("rows", [[], [{"index": 0, "embedding": []}], [{"index": 1, "embedding": [1.0]}]])
async def test_missing_embeddings_are_an_error(
    bench: Bench, fake_openai: FakeOpenAI, rows: list[Any]
) -> None:
    fake_openai.mode = modes.error(200, {"data": rows})
    backend = await bench.serve("openai_compatible", fake_openai.url)
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, {"input": "a"}, "embedding")
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


@pytest.mark.parametrize(
    ("said", "meant"), [("eos", "stop"), ("max_tokens", "length"), ("repetition", "length")]
)
async def test_finish_reasons_are_openais(
    bench: Bench, fake_openai: FakeOpenAI, said: str, meant: str
) -> None:
    fake_openai.mode = modes.ok(finish_reason=said)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    assert (await bench.complete(backend, HELLO))["choices"][0]["finish_reason"] == meant
    assert (await bench.stream(backend, HELLO)).finish_reasons == [meant]


async def test_vllm_is_recognised_and_its_extras_are_stripped(bench: Bench, fake_vllm: FakeVllm) -> None:
    fake_vllm.thought = "hm hm"
    backend = await bench.serve("openai_compatible", fake_vllm.url)
    [offer] = backend.inspection.offers
    assert (offer.model.id, offer.model.context_tokens, offer.model.owner) == ("org/fake-7b", 128, "vllm")
    [choice] = (await bench.complete(backend, HELLO))["choices"]
    assert set(choice) == {"index", "message", "logprobs", "finish_reason"}
    assert choice["message"]["reasoning_content"].strip() == "hm hm"


async def test_vllm_without_a_tool_parser_says_so(bench: Bench, fake_vllm: FakeVllm) -> None:
    backend = await bench.serve("openai_compatible", fake_vllm.url)
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, {**HELLO, "tools": TOOLS})
    assert (caught.value.reason, caught.value.metadata["param"]) == (Reason.UNSUPPORTED_PARAMETER, "tools")


async def test_vllm_error_followed_by_done_is_an_error(bench: Bench, fake_vllm: FakeVllm) -> None:
    fake_vllm.fail_after = 2
    backend = await bench.serve("openai_compatible", fake_vllm.url)
    with pytest.raises(MeshError) as caught:
        await bench.stream(backend, HELLO)
    assert caught.value.reason is Reason.UPSTREAM_ERROR


async def test_vllm_context_overflow_tells_the_limit(bench: Bench, fake_vllm: FakeVllm) -> None:
    backend = await bench.serve("openai_compatible", fake_vllm.url)
    long = {"messages": [{"role": "user", "content": "word " * 500}]}
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, long)
    assert (caught.value.reason, caught.value.metadata["context_tokens"]) == (Reason.CONTEXT_LENGTH, "128")


async def test_llama_cpp(bench: Bench, llama_cpp_server: LlamaCppServer) -> None:
    backend = await bench.serve("openai_compatible", llama_cpp_server.url)
    [offer] = backend.inspection.offers
    assert offer.model.id == "tiny"
    assert offer.model.context_tokens == 2048
    assert list(offer.model.operations) == [model_pb2.OPERATION_CHAT, model_pb2.OPERATION_COMPLETION]
    assert backend.describe().load.capacity == 2
    limited = {**HELLO, "max_tokens": 6, "temperature": 0, "logprobs": True, "top_logprobs": 1}
    body = await bench.complete(backend, limited)
    streamed = await bench.stream(backend, limited)
    assert streamed.text() == body["choices"][0]["message"]["content"]
    assert streamed.finish_reasons == [body["choices"][0]["finish_reason"]] == ["length"]
    assert "timings" not in body
    token = body["choices"][0]["logprobs"]["content"][0]
    assert set(token) == {"token", "logprob", "bytes", "top_logprobs"}


async def test_llama_cpp_is_asked_by_its_path_too(bench: Bench, llama_cpp_server: LlamaCppServer) -> None:
    backend = await bench.serve("openai_compatible", llama_cpp_server.url)
    body = await bench.complete(backend, {**HELLO, "max_tokens": 1, "model": str(llama_cpp_server.model)})
    assert body["model"] == "tiny"


async def test_llama_cpp_context_overflow(bench: Bench, llama_cpp_server: LlamaCppServer) -> None:
    backend = await bench.serve("openai_compatible", llama_cpp_server.url)
    with pytest.raises(MeshError) as caught:
        await bench.stream(backend, {"messages": [{"role": "user", "content": "x" * 5000}]})
    assert (caught.value.reason, caught.value.metadata["context_tokens"]) == (Reason.CONTEXT_LENGTH, "2048")


async def test_llama_cpp_embeddings(bench: Bench, llama_cpp_embedder: LlamaCppServer) -> None:
    backend = await bench.serve("openai_compatible", llama_cpp_embedder.url)
    body = await bench.complete(backend, {"input": ["a", "bb"], "encoding_format": "base64"}, "embedding")
    assert len(body["data"]) == 2
    assert all(isinstance(row["embedding"], str) for row in body["data"])


async def test_an_allow_list_hides_the_rest(bench: Bench) -> None:
    async with FakeOpenAI("a", "b", "c") as fake:
        backend = await bench.serve("openai_compatible", fake.url, models=("b",))
        assert [offer.model.id for offer in backend.inspection.offers] == ["b"]
        with pytest.raises(MeshError) as caught:
            await bench.complete(backend, {**HELLO, "model": "a"})
        assert caught.value.reason is Reason.MODEL_NOT_FOUND
        assert fake.calls == []


async def test_comments_are_signs_of_life(bench: Bench, fake_openai: FakeOpenAI) -> None:
    def commented(call: Call) -> Answer:
        reply = Reply(call)
        words = [
            Send(sse(reply.delta({"content": "hi"})) + sse(reply.delta({}, finish_reason="stop")) + DONE)
        ]
        return Answer([Head(), Send(b": keepalive 512/4096\n\n"), Wait(0.1), *words])

    fake_openai.mode = commented
    backend = await bench.serve("openai_compatible", fake_openai.url)
    streamed = await bench.stream(backend, HELLO)
    assert streamed.text() == "hi"
    assert streamed.progress == [Progress("prompt", 512, 4096)]


async def test_a_list_of_prompts_has_a_choice_for_each(
    bench: Bench, llama_cpp_server: LlamaCppServer
) -> None:
    backend = await bench.serve("openai_compatible", llama_cpp_server.url)
    asked = {"prompt": ["ab", "cd"], "max_tokens": 3, "temperature": 0}
    body = await bench.complete(backend, asked, "completion")
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
