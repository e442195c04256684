"""What NEXUS changes in a request is its own affair: a refusal of it is never told as the caller's mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import support.fake_openai_modes as modes
from nexus_inference_adapters.host.backend import Backend
from nexus_mesh.core.errors import MeshError, Reason
from support.adapter_host import HELLO, Bench
from support.fake_openai import FakeOpenAI
from support.fake_openai_garbage import garbage
from support.fake_openai_script import DEATHS, Answer, Mode, Send, Wait
from support.fake_vllm import FakeVllm
from support.llama_cpp import LlamaCppServer
from support.openai_wire import Call, Reply, error_body, sse

WORDS = "tok0 tok1 tok2 tok3 tok4 "


def refusing(refused: Callable[[Call], bool], body: Any, status: int = 400) -> Mode:
    """Refuses what `refused` says with this error, and answers everything else."""
    return lambda call: modes.error(status, body)(call) if refused(call) else modes.ok()(call)


async def text(bench: Bench, backend: Backend, body: dict[str, Any], *, stream: bool) -> str:
    if stream:
        return (await bench.stream(backend, body)).text()
    return (await bench.complete(backend, body))["choices"][0]["message"]["content"]


REFUSALS = [
    (
        400,
        error_body("Unknown parameter: 'stream_options'.", param="stream_options", code="unknown_parameter"),
    ),
    (400, error_body("Extra inputs are not permitted")),
    (422, {"detail": [{"loc": ["body", "stream_options"], "msg": "extra fields not permitted"}]}),
    (501, {"error": "include_usage is not supported"}),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "body"), REFUSALS)
async def test_an_engine_without_stream_options(
    bench: Bench, fake_openai: FakeOpenAI, status: int, body: Any, stream: bool
) -> None:
    """C5: asked once more without, and never with it again."""
    fake_openai.mode = refusing(lambda call: "stream_options" in call.body, body, status)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    for _ in range(3):
        assert await text(bench, backend, HELLO, stream=stream) == WORDS
    assert sum("stream_options" in call.body for call in fake_openai.calls) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_real_mistake_is_the_callers(bench: Bench, fake_openai: FakeOpenAI, stream: bool) -> None:
    """C5: what is refused without our additions too is told as it is, and nothing is learned from it."""
    mistake = error_body("'temperature' must be below 2.", param="temperature")
    fake_openai.mode = refusing(lambda call: call.body.get("temperature") == 9, mistake)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    with pytest.raises(MeshError) as caught:
        await text(bench, backend, {**HELLO, "temperature": 9}, stream=stream)
    assert (caught.value.reason, caught.value.metadata["param"]) == (Reason.INVALID_REQUEST, "temperature")
    assert await text(bench, backend, HELLO, stream=stream) == WORDS
    assert fake_openai.calls[-1].body["stream_options"] == {"include_usage": True}
    before = len(fake_openai.calls)
    with pytest.raises(MeshError):
        await text(bench, backend, {**HELLO, "temperature": 9}, stream=stream)
    assert len(fake_openai.calls) == before + 1


async def test_what_was_learned_goes_with_the_server(bench: Bench, fake_openai: FakeOpenAI) -> None:
    """C5: the next one at this address is asked anew."""
    fake_openai.mode = refusing(lambda call: "stream_options" in call.body, REFUSALS[0][1])
    backend = await bench.serve("openai_compatible", fake_openai.url)
    await text(bench, backend, HELLO, stream=True)
    port = fake_openai.port
    await fake_openai.stop()
    with pytest.raises(MeshError):
        await text(bench, backend, HELLO, stream=True)
    with pytest.raises(MeshError):
        await backend.adapter.inspect()
    fake_openai.mode = modes.ok()
    await fake_openai.start(port)
    assert await text(bench, backend, HELLO, stream=True) == WORDS
    assert "stream_options" in fake_openai.calls[-1].body


@pytest.mark.parametrize("stream", [False, True])
async def test_the_developer_is_a_system_elsewhere(
    bench: Bench, fake_openai: FakeOpenAI, stream: bool
) -> None:
    """D1: templates have no such role."""
    body = error_body("Unexpected message role.")
    fake_openai.mode = refusing(
        lambda call: any(m["role"] == "developer" for m in call.body["messages"]), body
    )
    backend = await bench.serve("openai_compatible", fake_openai.url)
    messages = [{"role": "developer", "content": "Be kind."}, *HELLO["messages"]]
    assert await text(bench, backend, {"messages": messages}, stream=stream) == WORDS
    assert fake_openai.calls[-1].body["messages"][0] == {"role": "system", "content": "Be kind."}


async def test_the_developer_is_a_system_for_vllm_and_llama_cpp(
    bench: Bench, fake_vllm: FakeVllm, llama_cpp_server: LlamaCppServer
) -> None:
    """D1: on the real engine, and in counting."""
    messages = [{"role": "developer", "content": "Be kind."}, *HELLO["messages"]]
    backend = await bench.serve("openai_compatible", fake_vllm.url)
    await bench.complete(backend, {"messages": messages})
    assert fake_vllm.requests[-1].body["messages"][0]["role"] == "system"
    real = await bench.serve("openai_compatible", llama_cpp_server.url)
    body = await bench.complete(real, {"messages": messages, "max_tokens": 3})
    assert body["choices"][0]["finish_reason"] == "length"


async def test_the_limit_goes_by_both_its_names(bench: Bench, fake_openai: FakeOpenAI) -> None:
    """D1: an engine that knows only max_tokens would answer without end."""
    backend = await bench.serve("openai_compatible", fake_openai.url)
    await bench.complete(backend, {**HELLO, "max_completion_tokens": 3})
    assert fake_openai.calls[-1].body["max_tokens"] == 3
    both = error_body("Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.")
    fake_openai.mode = refusing(
        lambda call: {"max_tokens", "max_completion_tokens"} <= call.body.keys(), both
    )
    assert await text(bench, backend, {**HELLO, "max_completion_tokens": 3}, stream=True) == "tok0 tok1 tok2 "


@pytest.mark.parametrize(
    "asked",
    [{"stop": []}, {"stop": [str(number) for number in range(9)]}, {"temperature": 3.5}, {"max_tokens": -1},
     {"logprobs": False, "top_logprobs": 40}, {"logit_bias": {str(number): 1 for number in range(1500)}}],
)  # fmt: skip
async def test_limits_of_openais_own_are_not_ours(
    bench: Bench, fake_openai: FakeOpenAI, asked: dict[str, Any]
) -> None:
    """D2: engines decide; what was asked is sent as it is."""
    backend = await bench.serve("openai_compatible", fake_openai.url)
    await bench.stream(backend, {**HELLO, **asked})
    assert {name: fake_openai.calls[-1].body[name] for name in asked} == asked


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("response_format", [{"type": "json_object"}, {"type": "json_schema", "json_schema": {
    "name": "x", "schema": {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"],
                            "additionalProperties": False}}}])  # fmt: skip
async def test_json_on_the_real_llama_cpp(
    bench: Bench, llama_cpp_server: LlamaCppServer, response_format: Any, stream: bool
) -> None:
    """E2: the word is sent as a schema; what comes is JSON, or says that it was cut."""
    backend = await bench.serve("openai_compatible", llama_cpp_server.url)
    body = {**HELLO, "response_format": response_format, "max_tokens": 120, "temperature": 0, "seed": 1}
    if stream:
        streamed = await bench.stream(backend, body)
        said, end = streamed.text(), streamed.finish_reasons[0]
    else:
        [choice] = (await bench.complete(backend, body))["choices"]
        said, end = choice["message"]["content"], choice["finish_reason"]
    assert said.lstrip().startswith("{")
    assert end == "length" or isinstance(json.loads(said), dict)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_silent_engine_of_unknown_make_is_given_up(
    impatient: Bench, fake_openai: FakeOpenAI, stream: bool
) -> None:
    """B8: whole answers are bounded by a first byte too."""
    fake_openai.mode = modes.slow_first_token(30.0)
    backend = await impatient.serve("openai_compatible", fake_openai.url)
    with pytest.raises(MeshError) as caught:
        await text(impatient, backend, HELLO, stream=stream)
    assert caught.value.reason is Reason.STREAM_IDLE_TIMEOUT


async def test_whole_answers_of_vllm_are_read_as_streams(impatient: Bench, fake_vllm: FakeVllm) -> None:
    """B8: and it is as complete as one that came whole."""
    backend = await impatient.serve("openai_compatible", fake_vllm.url)
    body = await impatient.complete(backend, HELLO)
    assert fake_vllm.requests[-1].body["stream"] is True
    assert body["usage"]["completion_tokens"] == 5
    fake_vllm.interval = 30.0
    with pytest.raises(MeshError) as caught:
        await impatient.complete(backend, HELLO)
    assert caught.value.reason is Reason.STREAM_IDLE_TIMEOUT


STREAM_REFUSED = error_body("Streaming is not supported by this server.", param="stream")


async def test_an_engine_that_refuses_to_stream(bench: Bench, fake_openai: FakeOpenAI) -> None:
    """B8: asked once, then whole."""
    fake_openai.mode = refusing(lambda call: call.stream, STREAM_REFUSED)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    for _ in range(3):
        assert await text(bench, backend, HELLO, stream=False) == WORDS
    assert sum(call.body.get("stream") is True for call in fake_openai.calls) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_answers_whole_whatever_it_is_asked(
    bench: Bench, fake_openai: FakeOpenAI, stream: bool
) -> None:
    """B8, C: the answer is there, so it is given, in the form that was asked for."""
    fake_openai.streams = False
    backend = await bench.serve("openai_compatible", fake_openai.url)
    for _ in range(2):
        assert await text(bench, backend, HELLO, stream=stream) == WORDS
    fake_openai.mode = modes.tool_calls(("weather", '{"city":"Bonn"}'), ("time", "{}"))
    tools = [{"type": "function", "function": {"name": name}} for name in ("weather", "time")]
    streamed = await bench.stream(backend, {**HELLO, "tools": tools})
    pieces = streamed.choices[0]["delta"]["tool_calls"]
    assert [(piece["index"], piece["function"]["name"]) for piece in pieces] == [(0, "weather"), (1, "time")]
    assert streamed.finish_reasons == ["tool_calls"]


async def test_a_stream_that_does_not_count_is_not_used_for_whole_answers(
    bench: Bench, fake_openai: FakeOpenAI
) -> None:
    """B8: the usage of a whole answer is not given up for it."""

    def uncounted(call: Call) -> Answer:
        body = {key: value for key, value in call.body.items() if key != "stream_options"}
        return modes.ok()(Call(call.kind, body))

    fake_openai.mode = uncounted
    backend = await bench.serve("openai_compatible", fake_openai.url)
    await bench.complete(backend, HELLO)
    assert (await bench.complete(backend, HELLO))["usage"]["completion_tokens"] == 5
    assert "stream" not in fake_openai.calls[-1].body


@pytest.mark.parametrize("odd", ["negative_usage", "text_usage"])
async def test_a_count_that_is_none_teaches_nothing(bench: Bench, fake_openai: FakeOpenAI, odd: str) -> None:
    """B8: whole answers stay streams underneath, or a silent engine would be found late from then on."""
    backend = await bench.serve("openai_compatible", fake_openai.url)
    fake_openai.script(garbage(odd))
    for _ in range(2):
        await bench.complete(backend, HELLO)
    assert all(call.body.get("stream") is True for call in fake_openai.calls)


async def test_one_whole_answer_in_place_of_a_stream_is_not_for_ever(
    bench: Bench, fake_openai: FakeOpenAI
) -> None:
    """B8: a stream that came and counted shows that it can."""
    backend = await bench.serve("openai_compatible", fake_openai.url)
    fake_openai.streams = False
    await bench.complete(backend, HELLO)
    fake_openai.streams = True
    await bench.complete(backend, HELLO)
    assert "stream" not in fake_openai.calls[-1].body
    await bench.stream(backend, HELLO)
    await bench.complete(backend, HELLO)
    assert fake_openai.calls[-1].body["stream"] is True


LIMITED = error_body("Rate limit reached for requests.", "rate_limit_error", "rate_limit_exceeded")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (LIMITED, Reason.RATE_LIMIT),
        ({"error": {"message": "slow down", "code": 429}}, Reason.RATE_LIMIT),
        ({"error": {"message": "slow down", "code": "429"}}, Reason.RATE_LIMIT),
        ({"object": "error", "message": "Too many requests", "code": 429}, Reason.RATE_LIMIT),
        (error_body("Overloaded", "overloaded_error"), Reason.OVERLOAD),
        (error_body("This model's maximum context length is 8 tokens.", "x"), Reason.CONTEXT_LENGTH),
        (error_body("bad", "invalid_request_error"), Reason.INVALID_REQUEST),
        (error_body("boom", "server_error"), Reason.UPSTREAM_ERROR),
        ({"error": "boom"}, Reason.UPSTREAM_ERROR),
    ],
)
async def test_an_error_in_place_of_an_answer_is_what_it_says(
    bench: Bench, fake_openai: FakeOpenAI, body: Any, reason: Reason, stream: bool
) -> None:
    """B10: with a plain 200, whole or streamed."""
    fake_openai.mode = modes.error(200, body)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    with pytest.raises(MeshError) as caught:
        await text(bench, backend, HELLO, stream=stream)
    assert caught.value.reason is reason


@pytest.mark.parametrize("after", [0, 2])
async def test_an_error_in_a_stream_is_what_it_says(
    bench: Bench, fake_openai: FakeOpenAI, after: int
) -> None:
    """B10: by the same words."""
    fake_openai.mode = modes.stream_error(LIMITED, after=after)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    with pytest.raises(MeshError) as caught:
        await text(bench, backend, HELLO, stream=True)
    assert caught.value.reason is Reason.RATE_LIMIT


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_whole_answer_without_a_proper_goodbye_is_whole(
    bench: Bench, fake_openai: FakeOpenAI, how: Any
) -> None:
    """C: every choice has had its end, so nothing is lost with the connection but the usage."""

    def abrupt(call: Call) -> Answer:
        reply = Reply(call)
        said = [sse(reply.delta({"content": "hi"})), sse(reply.delta({}, finish_reason="stop"))]
        return Answer([*(Send(each) for each in said), Wait(0.05), *DEATHS[how]])

    fake_openai.mode = abrupt
    backend = await bench.serve("openai_compatible", fake_openai.url)
    assert await text(bench, backend, HELLO, stream=True) == "hi"


NEVER = ("kv_transfer_params", "logits_processors", "lora", "lora_request", "id_slot", "priority", "cache_salt",
         "request_id", "chat_template", "prompt_logprobs", "mm_processor_kwargs", "custom_logit_processor",
         "session_params", "return_hidden_states", "truncate_prompt_tokens", "vllm_xargs", "options", "api_base",
         "add_generation_prompt", "continue_final_message", "add_special_tokens", "chat_template_kwargs")  # fmt: skip


@pytest.mark.security
@pytest.mark.parametrize("name", NEVER)
async def test_what_is_not_about_the_answer_is_never_sent(
    bench: Bench, fake_openai: FakeOpenAI, fake_vllm: FakeVllm, name: str
) -> None:
    """A12: on no list, so refused by name, whatever the engine is."""
    for fake in (fake_openai, fake_vllm):
        backend = await bench.serve("openai_compatible", fake.url)
        with pytest.raises(MeshError) as caught:
            await bench.complete(backend, {**HELLO, name: 1})
        assert (caught.value.reason, caught.value.metadata["param"]) == (Reason.UNSUPPORTED_PARAMETER, name)
        assert not any(record.path == "/v1/chat/completions" for record in fake.requests)
