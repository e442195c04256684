"""vLLM behind the whole mesh: [DONE] after an error is no success, and its own words for things are put right."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from support.e2e_mesh import HELLO, assert_honest, raw_chat, sdk, serving
from support.fake_vllm import FakeVllm
from support.live_mesh import LiveMesh, backend

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "org/fake-7b"
ASK: Any = {"model": MODEL, "messages": HELLO}
TOOL: Any = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
}
FRESH: dict[str, Any] = {
    "interval": 0.0,
    "thought": "",
    "tool_call": None,
    "fail_after": None,
    "tool_parser": False,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fake() -> AsyncIterator[FakeVllm]:
    async with FakeVllm() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory, fake: FakeVllm) -> AsyncIterator[LiveMesh]:
    async with serving(tmp_path_factory.mktemp("vllm"), backend("box", fake.url), MODEL) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def client(mesh: LiveMesh, fake: FakeVllm) -> AsyncIterator[openai.AsyncOpenAI]:
    for name, value in FRESH.items():
        setattr(fake, name, value)
    async with sdk(mesh) as opened:
        yield opened


async def test_an_error_before_done_is_no_success(
    mesh: LiveMesh, client: openai.AsyncOpenAI, fake: FakeVllm
) -> None:
    fake.fail_after, fake.interval = 2, 0.2
    stream = assert_honest(await raw_chat(mesh, MODEL, stream=True))
    assert stream is not None
    assert stream.error is not None
    assert stream.error["type"] == "server_error"
    assert isinstance(stream.error["code"], str)
    with pytest.raises(openai.InternalServerError) as failed:
        await client.chat.completions.create(**ASK)
    assert "EngineCore" not in str(failed.value)
    fake.fail_after = 0
    with pytest.raises(openai.APIError):
        assert [chunk async for chunk in await client.chat.completions.create(**ASK, stream=True)]
    fake.fail_after = None
    assert (await client.chat.completions.create(**ASK)).choices


async def test_its_reasoning_has_both_names(client: openai.AsyncOpenAI, fake: FakeVllm) -> None:
    fake.thought = "let me think"
    message: Any = (await client.chat.completions.create(**ASK)).choices[0].message
    assert message.reasoning_content == message.reasoning == "let me think "
    assert message.content == fake.answer


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_too_long_is_told_as_such(client: openai.AsyncOpenAI, stream: bool) -> None:
    long: Any = [{"role": "user", "content": "word " * 200}]
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model=MODEL, messages=long, stream=stream)
    assert (refused.value.code, refused.value.type) == ("context_length_exceeded", "invalid_request_error")
    assert isinstance(refused.value.body, dict)
    assert isinstance(refused.value.body["code"], str)


async def test_two_choices(mesh: LiveMesh, client: openai.AsyncOpenAI, fake: FakeVllm) -> None:
    answer = await client.chat.completions.create(**ASK, n=2)
    assert [choice.message.content for choice in answer.choices] == [fake.answer] * 2
    stream = assert_honest(await raw_chat(mesh, MODEL, stream=True, n=2), choices=2)
    assert stream is not None
    assert [stream.text(index) for index in (0, 1)] == [fake.answer] * 2


async def test_tools_without_its_parser_are_refused_by_name(
    client: openai.AsyncOpenAI, fake: FakeVllm
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(**ASK, tools=[TOOL])
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "tools")
    fake.tool_parser, fake.tool_call = True, ("f", '{"a": 1}')
    choice = (await client.chat.completions.create(**ASK, tools=[TOOL])).choices[0]
    call: Any = (choice.message.tool_calls or [])[0]
    assert (call.function.name, call.function.arguments, choice.finish_reason) == (
        "f",
        '{"a": 1}',
        "tool_calls",
    )


async def test_embeddings_of_a_model_that_makes_none_are_refused(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.embeddings.create(model=MODEL, input="cat")
    assert refused.value.code == "capability_missing"
