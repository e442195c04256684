"""Ollama behind the whole mesh: none of its silent losses reaches a client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai.types.chat import ChatCompletionMessageFunctionToolCall
from support.e2e_cli import nexus
from support.e2e_mesh import HELLO, assert_honest, engine, raw_chat, sdk, serving
from support.fake_ollama import FakeOllama
from support.live_mesh import LiveMesh

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODELS = ("llama3.2:latest", "qwen3:8b", "llava:latest", "all-minilm:latest", "gpt-oss:120b-cloud")
ASK: Any = {"model": "llama3.2", "messages": HELLO}
TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}
FRESH: dict[str, Any] = {"answer": "hello from ollama", "thought": "", "tool_calls": [], "fail_after": None}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fake() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory, fake: FakeOllama) -> AsyncIterator[LiveMesh]:
    config = engine("ollama", "box", fake.url)
    async with serving(tmp_path_factory.mktemp("ollama"), config, *MODELS) as started:
        yield started
    assert not [path for path in fake.paths if "/v1" in path]


@pytest_asyncio.fixture(loop_scope="module")
async def client(mesh: LiveMesh, fake: FakeOllama) -> AsyncIterator[openai.AsyncOpenAI]:
    for name, value in FRESH.items():
        setattr(fake.engine, name, value)
    async with sdk(mesh) as opened:
        yield opened


async def test_whole_and_streamed_under_either_name(mesh: LiveMesh, client: openai.AsyncOpenAI) -> None:
    for name in ("llama3.2", "llama3.2:latest"):
        answer = await client.chat.completions.create(model=name, messages=HELLO)
        assert answer.choices[0].message.content == "hello from ollama"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 3
        stream = assert_honest(
            await raw_chat(mesh, name, stream=True, stream_options={"include_usage": True})
        )
        assert stream is not None
        assert stream.text() == "hello from ollama"
        assert stream.chunks[-1]["usage"]["completion_tokens"] == 3


async def test_limits_and_sampling_arrive_and_defaults_are_not_overridden(
    client: openai.AsyncOpenAI, fake: FakeOllama
) -> None:
    cut = await client.chat.completions.create(**ASK, max_completion_tokens=2)
    assert cut.choices[0].finish_reason == "length"
    assert (cut.choices[0].message.content or "").split() == ["hello", "from"]
    assert set(fake.engine.runs[-1].options) == {"num_predict"}
    await client.chat.completions.create(**ASK, temperature=0.2, stop="x", seed=3)
    options = fake.engine.runs[-1].options
    assert (options["temperature"], options["stop"], options["seed"]) == (0.2, ["x"], 3)
    assert "top_p" not in options
    assert {num_ctx for _, num_ctx in fake.engine.loads} == {4096}


async def test_parts_of_one_message_stay_one_message(client: openai.AsyncOpenAI, fake: FakeOllama) -> None:
    parts: Any = [
        {"role": "user", "content": [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]}
    ]
    await client.chat.completions.create(model="llama3.2", messages=parts)
    assert [message["content"] for message in fake.engine.runs[-1].messages] == ["a b"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_too_long_is_refused_not_cut(
    client: openai.AsyncOpenAI, fake: FakeOllama, stream: bool
) -> None:
    long: Any = [{"role": "user", "content": "word " * 5000}]
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model="llama3.2", messages=long, stream=stream)
    assert refused.value.code == "context_length_exceeded"
    assert fake.engine.truncated == 0


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("n", 2),
        ("logit_bias", {"1": 5}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_ollama_would_ignore_is_refused_by_name(
    client: openai.AsyncOpenAI, fake: FakeOllama, param: str, value: Any, stream: bool
) -> None:
    more = {"tools": [TOOL]} if "tool" in param else {}
    ran = len(fake.engine.runs)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(**ASK, **more, **{param: value}, stream=stream)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", param)
    assert len(fake.engine.runs) == ran


async def test_a_required_tool_is_called_and_its_logprobs_are_there(
    client: openai.AsyncOpenAI, fake: FakeOllama
) -> None:
    """D15, D10: as frameworks ask for structured output."""
    answer = await client.chat.completions.create(**ASK, tools=[TOOL], tool_choice="required")
    [call] = answer.choices[0].message.tool_calls or []
    assert isinstance(call, ChatCompletionMessageFunctionToolCall)
    assert call.function.name == TOOL["function"]["name"]
    assert answer.choices[0].finish_reason == "tool_calls"
    likely = await client.chat.completions.create(**ASK, logprobs=True, top_logprobs=1)
    assert likely.choices[0].logprobs
    assert likely.choices[0].logprobs.content


async def test_an_error_in_mid_stream_is_told(
    mesh: LiveMesh, client: openai.AsyncOpenAI, fake: FakeOllama
) -> None:
    fake.engine.fail_after = 2
    stream = assert_honest(await raw_chat(mesh, "llama3.2", stream=True))
    assert stream is not None
    assert stream.error is not None
    assert stream.text() in ("hello ", "hello from ")
    with pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(**ASK)
    fake.engine.fail_after = None
    assert (await client.chat.completions.create(**ASK)).choices


async def test_tools_there_and_back(client: openai.AsyncOpenAI, fake: FakeOllama) -> None:
    fake.engine.tool_calls = [("weather", {"city": "Oslo"}), ("weather", {"city": "Rome"})]
    whole = (await client.chat.completions.create(**ASK, tools=[TOOL])).choices[0]
    async with client.chat.completions.stream(**ASK, tools=[TOOL]) as stream:
        streamed = (await stream.get_final_completion()).choices[0]
    for choice in (whole, streamed):
        calls: Any = choice.message.tool_calls
        assert choice.finish_reason == "tool_calls"
        assert [call.function.arguments.replace(" ", "") for call in calls] == [
            '{"city":"Oslo"}', '{"city":"Rome"}',
        ]  # fmt: skip
        assert len({call.id for call in calls}) == 2
    fake.engine.tool_calls = []
    calls = whole.message.tool_calls
    results: Any = [{"role": "tool", "tool_call_id": call.id, "content": "cold"} for call in calls or []]
    history: Any = [*HELLO, whole.message.model_dump(exclude_none=True), *results]
    await client.chat.completions.create(model="llama3.2", messages=history, tools=[TOOL])
    native = fake.engine.runs[-1].messages
    assert [call["function"]["arguments"] for call in native[1]["tool_calls"]] == [
        {"city": "Oslo"}, {"city": "Rome"},
    ]  # fmt: skip
    assert [message["tool_name"] for message in native[2:]] == ["weather", "weather"]


async def test_thinking_is_kept_apart_and_can_be_turned_off(
    client: openai.AsyncOpenAI, fake: FakeOllama
) -> None:
    fake.engine.thought = "let me think"
    ask: Any = {"model": "qwen3:8b", "messages": HELLO}
    message: Any = (await client.chat.completions.create(**ask, reasoning_effort="high")).choices[0].message
    assert (message.reasoning_content, message.content) == ("let me think", "hello from ollama")
    quiet: Any = (await client.chat.completions.create(**ask, reasoning_effort="none")).choices[0].message
    assert getattr(quiet, "reasoning_content", None) is None
    got: Any = [chunk async for chunk in await client.chat.completions.create(**ask, stream=True)]
    thought = "".join(getattr(c.choices[0].delta, "reasoning_content", None) or "" for c in got)
    assert thought == "let me think"


async def test_embeddings_keep_their_order(client: openai.AsyncOpenAI) -> None:
    rows = (await client.embeddings.create(model="all-minilm", input=["a", "b", "a"])).data
    assert rows[0].embedding == rows[2].embedding != rows[1].embedding
    with pytest.raises(openai.BadRequestError) as refused:
        await client.embeddings.create(model="all-minilm", input=[1, 2, 3])
    assert refused.value.param == "input"


async def test_what_a_model_cannot_do_is_refused_before_it_is_asked(
    client: openai.AsyncOpenAI, fake: FakeOllama
) -> None:
    ran = len(fake.engine.runs)
    image: Any = [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]}]  # fmt: skip
    for ask in ({"messages": image}, {"messages": HELLO, "model": "all-minilm"}):
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(**{"model": "llama3.2", **ask})
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model="llava", messages=HELLO, tools=[TOOL])
    assert refused.value.param == "tools"
    assert len(fake.engine.runs) == ran


async def test_a_cloud_model_is_marked_as_leaving_the_machine(mesh: LiveMesh) -> None:
    rows = {row["id"]: row for row in (await nexus(mesh.layout.home, "models", "--json")).json}
    assert rows["gpt-oss:120b-cloud"]["remote"] is True
    assert rows["llama3.2:latest"]["remote"] is False
    table = (await nexus(mesh.layout.home, "models")).out.splitlines()
    assert [line.split()[0] for line in table if "leaves the machine" in line] == ["gpt-oss:120b-cloud"]
