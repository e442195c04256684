"""E23, E24: what was promised is looked for in the answer, and what is not kept no longer believed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import support.fake_openai_modes as modes
from nexus.types.v1 import model_pb2
from nexus_inference_adapters.host.backend import Backend
from nexus_mesh.core.errors import MeshError, Reason
from support.adapter_host import HELLO, Bench, envelope
from support.fake_openai import FakeOpenAI
from support.fake_openai_script import Answer, Mode, Send
from support.fake_vllm import FakeVllm
from support.openai_wire import DONE, Call, Reply, sse, usage
from support.schema_instance import instance_of
from support.waiting import eventually

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "size": {"type": "integer"}},
          "required": ["city"], "additionalProperties": False}  # fmt: skip
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("weather", "time")
]
REQUIRED = {"tools": TOOLS, "tool_choice": "required"}
NAMED = {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "weather"}}}
OBJECT = {"response_format": {"type": "json_object"}}
STRICT = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}}
TOOL_CHOICE, JSON = model_pb2.CAPABILITY_TOOL_CHOICE, model_pb2.CAPABILITY_JSON
LOGPROBS = model_pb2.CAPABILITY_LOGPROBS


async def ask(
    bench: Bench, backend: Backend, body: dict[str, Any], *, stream: bool, operation: str = "chat"
) -> Any:
    return await (bench.stream if stream else bench.complete)(backend, {**HELLO, **body}, operation)


def without_logprobs(call: Call) -> Answer:
    return modes.ok()(Call(call.kind, {**call.body, "logprobs": False}))


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("body", "mode", "missed"),
    [
        (REQUIRED, modes.ok(text="It is sunny."), TOOL_CHOICE),
        (NAMED, modes.ok(text="It is sunny."), TOOL_CHOICE),
        (NAMED, modes.tool_calls(("time", "{}")), TOOL_CHOICE),
        (OBJECT, modes.ok(text="It is sunny."), JSON),
        (OBJECT, modes.ok(text="[1]"), JSON),
        (OBJECT, modes.ok(text='```json\n{"a": 1}\n```'), JSON),
        (STRICT, modes.ok(text='{"town": "Bonn"}'), JSON),
        (STRICT, modes.ok(text='{"city": "Bonn", "size": "big"}'), JSON),
        (STRICT, modes.ok(text='{"city": "Bonn", "more": 1}'), JSON),
        (STRICT, modes.ok(text='{"city": "Bo'), JSON),
        ({"logprobs": True}, without_logprobs, LOGPROBS),
    ],
)
async def test_a_broken_promise(
    bench: Bench, fake_openai: FakeOpenAI, body: Any, mode: Mode, missed: Any, stream: bool, streams: bool
) -> None:
    """E23: malformed, however the answer came; and the capability is gone from the offer of that model."""
    fake_openai.mode, fake_openai.streams = mode, streams
    backend = await bench.serve("openai_compatible", fake_openai.url)
    assert missed in backend.offer("fake-model").model.capabilities
    with pytest.raises(MeshError) as caught:
        await ask(bench, backend, body, stream=stream)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED
    assert backend.adapter.learned.missing("fake-model") == {missed}
    await eventually(lambda: looked_again(fake_openai), 8.0, "another look")
    await eventually(
        lambda: missed is TOOL_CHOICE or missed not in backend.offer("fake-model").model.capabilities,
        8.0, "the offer to change",
    )  # fmt: skip


def looked_again(fake: FakeOpenAI) -> bool:
    work = max(index for index, record in enumerate(fake.requests) if record.method == "POST")
    return any(record.path == "/v1/models" for record in fake.requests[work:])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("body", "mode"),
    [
        (REQUIRED, modes.tool_calls(("time", "{}"))),
        (NAMED, modes.tool_calls(("weather", "{}"))),
        (OBJECT, modes.ok(text=' {"a": [1]}\n')),
        (STRICT, modes.ok(text='{"city": "Bonn", "size": 3}')),
        (STRICT, modes.ok(text='{"city": "Bo', finish_reason="length")),
        (REQUIRED, modes.ok(text="It is", finish_reason="length")),
        ({**REQUIRED, "tool_choice": "auto"}, modes.ok(text="It is sunny.")),
        ({"logprobs": True}, modes.ok()),
        ({"logprobs": True, **NAMED}, modes.tool_calls(("weather", "{}"))),
        ({"n": 2, **OBJECT}, modes.ok(text="{}")),
    ],
)
async def test_a_kept_promise(
    bench: Bench, fake_openai: FakeOpenAI, body: Any, mode: Mode, stream: bool
) -> None:
    """E23: what was kept, and what was cut and says so, goes through."""
    fake_openai.mode = mode
    backend = await bench.serve("openai_compatible", fake_openai.url)
    await ask(bench, backend, body, stream=stream)
    assert backend.adapter.learned.missing("fake-model") == set()


async def test_content_that_was_out_stays_out(bench: Bench, fake_openai: FakeOpenAI) -> None:
    """E23: a stream's error comes at its end, after what was said."""
    fake_openai.mode = modes.ok(text="It is sunny.")
    backend = await bench.serve("openai_compatible", fake_openai.url)
    body = {**HELLO, **OBJECT}
    said: list[str] = []

    async def listen() -> None:
        async for event in backend.stream(envelope(backend, body), body):
            said.extend(event if isinstance(event, list) else [])

    with pytest.raises(MeshError):
        await listen()
    assert "sunny" in "".join(said)


async def test_one_models_failing_is_not_anothers(bench: Bench) -> None:
    """E23: learned of the model that broke it."""
    async with FakeOpenAI("good", "bad") as fake:
        fake.model_modes = {"bad": modes.ok(text="prose"), "good": modes.ok(text="{}")}
        backend = await bench.serve("openai_compatible", fake.url)
        with pytest.raises(MeshError):
            await ask(bench, backend, {**OBJECT, "model": "bad"}, stream=False)
        await eventually(
            lambda: JSON not in backend.offer("bad").model.capabilities, 8.0, "the offer to change"
        )
        assert JSON in backend.offer("good").model.capabilities
        await ask(bench, backend, {**OBJECT, "model": "good"}, stream=False)


def holding_schemas(call: Call) -> Answer:
    """An engine whose template has no tools, and that holds to a schema."""
    wanted = call.body.get("response_format", {}).get("json_schema")
    return modes.ok(text=json.dumps(instance_of(wanted["schema"])) if wanted else "It is sunny.")(call)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("body", [REQUIRED, NAMED])
async def test_a_tool_choice_that_was_broken_is_brought_about(
    bench: Bench, fake_openai: FakeOpenAI, body: Any, stream: bool
) -> None:
    """E23, D15: after the first broken promise by a schema, so that the model goes on being able to."""
    fake_openai.mode = holding_schemas
    backend = await bench.serve("openai_compatible", fake_openai.url)
    with pytest.raises(MeshError):
        await ask(bench, backend, body, stream=stream)
    streamed = await bench.stream(backend, {**HELLO, **body})
    pieces = [piece for choice in streamed.choices for piece in choice["delta"].get("tool_calls", ())]
    assert pieces[0]["function"]["name"] == ("weather" if body is NAMED else "time")
    assert json.loads("".join(piece["function"]["arguments"] for piece in pieces)) == {"city": "x", "size": 1}
    [choice] = (await bench.complete(backend, {**HELLO, **body}))["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert TOOL_CHOICE in backend.offer("fake-model").model.capabilities


async def test_what_can_be_held_to_nothing_is_refused(bench: Bench, fake_openai: FakeOpenAI) -> None:
    """D15: only where neither tool_choice nor a schema is kept."""
    fake_openai.mode = modes.ok(text="prose")
    backend = await bench.serve("openai_compatible", fake_openai.url)
    for _ in range(2):
        with pytest.raises(MeshError):
            await ask(bench, backend, REQUIRED, stream=False)
    with pytest.raises(MeshError) as caught:
        await ask(bench, backend, REQUIRED, stream=False)
    assert (caught.value.reason, caught.value.metadata["param"]) == (Reason.CAPABILITY_MISSING, "tool_choice")


@pytest.mark.parametrize("form", ["float", "base64"])
async def test_dimensions_are_counted(bench: Bench, fake_openai: FakeOpenAI, form: str) -> None:
    """E2: an engine that passes over `dimensions` gave vectors of another length."""
    backend = await bench.serve("openai_compatible", fake_openai.url)
    body = {"input": "a", "encoding_format": form}
    right = len((await bench.complete(backend, {"input": "a"}, "embedding"))["data"][0]["embedding"])
    await bench.complete(backend, {**body, "dimensions": right}, "embedding")
    fake_openai.mode = lambda call: modes.ok()(Call(call.kind, {**call.body, "dimensions": right}))
    with pytest.raises(MeshError) as caught:
        await bench.complete(backend, {**body, "dimensions": right + 1}, "embedding")
    assert (caught.value.reason, caught.value.metadata["param"]) == (Reason.UPSTREAM_MALFORMED, "dimensions")


def counting(prompt_tokens: int, **details: Any) -> Mode:
    """An engine that says it has read so many tokens."""

    def mode(call: Call) -> Answer:
        reply, counts = Reply(call), {**usage(prompt_tokens, 1), **details}
        if not call.stream:
            return modes.error(200, reply.whole([{"role": "assistant", "content": "hi"}], "stop", counts))(
                call
            )
        events = [
            reply.delta({"content": "hi"}),
            reply.delta({}, finish_reason="stop"),
            reply.chunk([], usage=counts),
        ]
        return Answer([*(Send(sse(event)) for event in events), Send(DONE)])

    return mode


LONG = " ".join(f"word{number}" for number in range(6000))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_that_was_cut_is_told(bench: Bench, fake_openai: FakeOpenAI, stream: bool) -> None:
    """E24: the engine read 12 tokens of thousands, by its own count."""
    fake_openai.mode = counting(12)
    backend = await bench.serve("openai_compatible", fake_openai.url)
    with pytest.raises(MeshError) as caught:
        await ask(bench, backend, {"messages": [{"role": "user", "content": LONG}]}, stream=stream)
    assert caught.value.reason is Reason.CONTEXT_LENGTH
    assert "12 tokens" in caught.value.message


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}


@pytest.mark.parametrize(
    ("messages", "mode"),
    [
        ([{"role": "user", "content": LONG}], counting(9000)),
        ([{"role": "user", "content": LONG}], counting(0)),
        ([{"role": "user", "content": LONG}], counting(5, prompt_tokens_details={"cached_tokens": 9000})),
        ([{"role": "user", "content": " " * 100_000 + "="*50_000}], counting(900)),
        ([{"role": "user", "content": [IMAGE, {"type": "text", "text": "look"}]}], counting(20)),
        ([{"role": "assistant", "content": LONG}, {"role": "user", "content": "hi"}], counting(20)),
        ([{"role": "user", "content": "short"}], counting(1)),
    ],
)  # fmt: skip
async def test_a_prompt_that_was_read_is_not_called_cut(
    bench: Bench, fake_openai: FakeOpenAI, messages: Any, mode: Mode
) -> None:
    """E24: caches, images, long runs and what templates leave out are no cuts."""
    fake_openai.mode = mode
    backend = await bench.serve("openai_compatible", fake_openai.url)
    await ask(bench, backend, {"messages": messages}, stream=True)
    await ask(bench, backend, {"messages": messages}, stream=False)


async def test_a_prompt_that_fits_is_not_called_cut(bench: Bench, fake_openai: FakeOpenAI) -> None:
    """E24: in a context known to be large enough, a small count is another way of counting."""
    fake_openai.mode = counting(12)
    backend = await bench.serve("openai_compatible", fake_openai.url, context_tokens=131_072)
    await ask(bench, backend, {"messages": [{"role": "user", "content": LONG}]}, stream=False)


async def test_vllms_promises_are_looked_at_too(bench: Bench, fake_vllm: FakeVllm) -> None:
    """E23: one place for every engine."""
    backend = await bench.serve("openai_compatible", fake_vllm.url)
    with pytest.raises(MeshError) as caught:
        await ask(bench, backend, OBJECT, stream=True)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED
