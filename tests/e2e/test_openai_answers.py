"""The unmodified OpenAI client, sync and async, through gateway, mTLS and adapter: every kind of good answer."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from support import fake_openai_modes as modes
from support.e2e_mesh import HELLO, sdk, serving, sync_sdk
from support.fake_openai import FakeOpenAI
from support.live_mesh import LiveMesh, backend
from support.openai_wire import embedding

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "org/fake:7b"
ASK: Any = {"model": MODEL, "messages": HELLO}
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fake() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI(MODEL) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory, fake: FakeOpenAI) -> AsyncIterator[LiveMesh]:
    config = backend("box", fake.url) + f'[routing.aliases]\n"gpt-4o" = "{MODEL}"\n'
    async with serving(tmp_path_factory.mktemp("answers"), config, MODEL, "gpt-4o") as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def client(mesh: LiveMesh, fake: FakeOpenAI) -> AsyncIterator[openai.AsyncOpenAI]:
    fake.mode = modes.ok()
    async with sdk(mesh) as opened:
        yield opened


async def test_a_whole_answer_and_its_headers(client: openai.AsyncOpenAI, fake: FakeOpenAI) -> None:
    fake.mode = modes.ok(text="Grüße, 世界 🌍")
    raw = await client.chat.completions.with_raw_response.create(**ASK)
    answer = raw.parse()
    assert answer.choices[0].message.content == "Grüße, 世界 🌍"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.object == "chat.completion"
    assert answer.model == MODEL
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id == raw.headers["x-request-id"]
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["openai-version"] == "2020-10-01"
    assert raw.headers["openai-processing-ms"].isdigit()
    assert raw.headers["x-nexus-backend"] == "box"


async def test_a_stream(client: openai.AsyncOpenAI, fake: FakeOpenAI) -> None:
    fake.mode = modes.ok(text="one two three")
    got = [chunk async for chunk in await client.chat.completions.create(**ASK, stream=True)]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in got) == "one two three"
    assert [c.choices[0].finish_reason for c in got if c.choices[0].finish_reason] == ["stop"]
    assert got[0].choices[0].delta.role == "assistant"
    assert all(chunk.choices[0].delta.role is None for chunk in got[1:])
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in got}) == 1
    assert all(chunk.usage is None for chunk in got)


async def test_a_stream_with_usage(client: openai.AsyncOpenAI) -> None:
    options: Any = {"include_usage": True}
    got = [c async for c in await client.chat.completions.create(**ASK, stream=True, stream_options=options)]
    assert [bool(chunk.choices) for chunk in got] == [True] * (len(got) - 1) + [False]
    assert got[-1].usage is not None
    assert got[-1].usage.completion_tokens == 5
    assert all(chunk.usage is None for chunk in got[:-1])


async def test_several_choices(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**ASK, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    got = [chunk async for chunk in await client.chat.completions.create(**ASK, n=3, stream=True)]
    finished = [c.index for chunk in got for c in chunk.choices if c.finish_reason]
    assert sorted(finished) == [0, 1, 2]


async def test_tools_there_and_back(client: openai.AsyncOpenAI, fake: FakeOpenAI) -> None:
    fake.mode = modes.tool_calls(("weather", '{"city": "Oslo"}'), ("weather", '{"city": "Rome"}'))
    whole = (await client.chat.completions.create(**ASK, tools=[TOOL])).choices[0]
    assert whole.finish_reason == "tool_calls"
    assert fake.calls[-1].body["tools"] == [TOOL]
    async with client.chat.completions.stream(**ASK, tools=[TOOL]) as stream:
        streamed = (await stream.get_final_completion()).choices[0]
    for choice in (whole, streamed):
        calls: Any = choice.message.tool_calls
        assert [(c.function.name, c.function.arguments) for c in calls] == [
            ("weather", '{"city": "Oslo"}'),
            ("weather", '{"city": "Rome"}'),
        ]
        assert len({call.id for call in calls}) == 2
    fake.mode = modes.ok(text="cold")
    result = {"role": "tool", "tool_call_id": "call_0", "content": "-3"}
    history = [*HELLO, whole.message.model_dump(exclude_none=True), result]
    answer = await client.chat.completions.create(model=MODEL, messages=history, tools=[TOOL])
    assert answer.choices[0].message.content == "cold"
    assert fake.calls[-1].body["messages"][-1] == result


async def test_parameters_known_and_unknown_reach_the_backend(
    client: openai.AsyncOpenAI, fake: FakeOpenAI
) -> None:
    sent: Any = {
        "temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["x"], "max_completion_tokens": 9,
        "logit_bias": {"1": -100}, "presence_penalty": 0.1, "response_format": {"type": "json_object"},
    }  # fmt: skip
    fake.mode = modes.ok(text="{}")
    await client.chat.completions.create(**ASK, **sent, extra_body={"top_k": 4, "min_p": 0.1})
    body = fake.calls[-1].body
    assert {name: body[name] for name in sent} == sent
    assert (body["top_k"], body["min_p"]) == (4, 0.1)


async def test_reasoning_is_there_under_both_names(client: openai.AsyncOpenAI, fake: FakeOpenAI) -> None:
    for key in ("reasoning_content", "reasoning"):
        fake.mode = modes.reasoning("let me think", "4", key)
        message: Any = (await client.chat.completions.create(**ASK)).choices[0].message
        assert (message.reasoning_content, message.reasoning, message.content) == (
            "let me think", "let me think", "4",
        )  # fmt: skip
        got: Any = [chunk async for chunk in await client.chat.completions.create(**ASK, stream=True)]
        thought = "".join(getattr(c.choices[0].delta, "reasoning_content", None) or "" for c in got)
        assert thought == "let me think"


async def test_an_alias_answers_under_the_model_s_own_name(
    client: openai.AsyncOpenAI, fake: FakeOpenAI
) -> None:
    raw = await client.chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO)
    assert fake.calls[-1].body["model"] == MODEL
    assert raw.headers["x-nexus-model"] == MODEL


async def test_text_completions(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model=MODEL, prompt="a b", n=2, max_tokens=3)
    assert [choice.index for choice in answer.choices] == [0, 1]
    got = [c async for c in await client.completions.create(model=MODEL, prompt="a b", stream=True)]
    assert {chunk.object for chunk in got} == {"text_completion"}
    assert [c.choices[0].finish_reason for c in got if c.choices[0].finish_reason] == ["stop"]


async def test_embeddings(client: openai.AsyncOpenAI, mesh: LiveMesh) -> None:
    """The client asks for base64 by itself; as floats, and undecoded, it is the same vector."""
    texts = ["cat", "dog", "cat"]
    decoded = await client.embeddings.create(model=MODEL, input=texts)
    floats = await client.embeddings.create(model=MODEL, input=texts, encoding_format="float")
    packed = await client.embeddings.create(model=MODEL, input="cat", encoding_format="base64")
    for answer in (decoded, floats):
        assert [row.index for row in answer.data] == [0, 1, 2]
        assert answer.data[0].embedding == answer.data[2].embedding
        assert answer.data[0].embedding == pytest.approx(embedding("cat"))
    text: Any = packed.data[0].embedding
    assert struct.unpack("<8f", base64.b64decode(text)) == pytest.approx(embedding("cat"))
    with pytest.raises(openai.BadRequestError) as refused:
        await client.embeddings.create(model=MODEL, input=[1, 2, 3])
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "input")


async def test_models(client: openai.AsyncOpenAI) -> None:
    rows = [row async for row in client.models.list()]
    assert [(row.id, row.object) for row in rows] == [("gpt-4o", "model"), (MODEL, "model")]
    assert (await client.models.retrieve(MODEL)).id == MODEL
    with pytest.raises(openai.NotFoundError) as missing:
        await client.models.retrieve("org/none")
    assert missing.value.code == "model_not_found"


async def test_the_sync_client_gets_the_same(mesh: LiveMesh, fake: FakeOpenAI) -> None:
    fake.mode = modes.ok(text="one two three")

    def talk() -> tuple[str | None, str, list[float], list[str], str | None]:
        with sync_sdk(mesh) as client:
            whole = client.chat.completions.create(**ASK).choices[0].message.content
            stream = client.chat.completions.create(**ASK, stream=True)
            pieces = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            vector = client.embeddings.create(model=MODEL, input="cat").data[0].embedding
            names = [row.id for row in client.models.list()]
            with pytest.raises(openai.NotFoundError) as missing:
                client.chat.completions.create(model="none", messages=HELLO)
            return whole, pieces, vector, names, missing.value.code

    whole, pieces, vector, names, code = await asyncio.to_thread(talk)
    assert (whole, pieces, code) == ("one two three", "one two three", "model_not_found")
    assert vector == pytest.approx(embedding("cat"))
    assert names == ["gpt-4o", MODEL]


async def test_fifty_at_once(client: openai.AsyncOpenAI, fake: FakeOpenAI) -> None:
    fake.mode = modes.echo()

    async def one(number: int) -> str | None:
        messages: Any = [{"role": "user", "content": f"number {number}"}]
        if number % 2:
            return (
                (await client.chat.completions.create(model=MODEL, messages=messages))
                .choices[0]
                .message.content
            )
        stream = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert await asyncio.gather(*map(one, range(50))) == [f"number {number}" for number in range(50)]
