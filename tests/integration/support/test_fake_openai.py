"""The fake backend answers correctly, and misbehaves exactly as its mode says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import openai
import pytest
import support.fake_openai_modes as modes
from openai.types.chat import ChatCompletionMessageParam
from support.fake_openai import FakeOpenAI
from support.fake_openai_garbage import KINDS, WHOLE_KINDS, garbage
from support.fake_openai_mutations import mutated
from support.waiting import eventually

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "say something now"}]


@pytest.fixture
async def client(fake_openai: FakeOpenAI) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{fake_openai.url}/v1", api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
async def http(fake_openai: FakeOpenAI) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(fake_openai.url, timeout=aiohttp.ClientTimeout(10)) as session:
        yield session


def chat(stream: bool = True, **extra: object) -> dict[str, object]:
    return {"model": "fake-model", "messages": MESSAGES, "stream": stream, **extra}


async def read(http: aiohttp.ClientSession, body: dict[str, object]) -> tuple[int, bytes, bool]:
    """(status, bytes received, whether the body ended as HTTP says); status 0 without any answer."""
    received = bytearray()
    status = 0
    try:
        async with http.post("/v1/chat/completions", json=body) as response:
            status = response.status
            async for data in response.content.iter_any():
                received += data
    except aiohttp.ClientError:
        return status, bytes(received), False
    return status, bytes(received), True


async def test_whole_answer_counts_its_tokens(fake_openai: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    fake_openai.mode = modes.ok(3)

    answer = await client.chat.completions.create(model="fake-model", messages=MESSAGES)

    assert answer.choices[0].message.content == "tok0 tok1 tok2 "
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 3)
    assert fake_openai.tokens_sent == 3


async def test_stream_ends_with_finish_usage_and_done(
    fake_openai: FakeOpenAI, http: aiohttp.ClientSession
) -> None:
    _, data, complete = await read(http, chat(stream_options={"include_usage": True}, max_tokens=2, n=2))

    assert complete
    assert data.endswith(b"data: [DONE]\n\n")
    assert data.count(b'"finish_reason": "length"') == 2
    assert b'"completion_tokens": 4' in data
    assert fake_openai.tokens_sent == 4


async def test_embeddings_speech_and_transcriptions(client: openai.AsyncOpenAI) -> None:
    vectors = await client.embeddings.create(model="fake-model", input=["a", "b", "a"])
    speech = await client.audio.speech.create(
        model="fake-model", voice="v", input="hi", response_format="pcm"
    )
    text = await client.audio.transcriptions.create(model="fake-model", file=("a.wav", b"RIFF"))

    assert vectors.data[0].embedding == vectors.data[2].embedding != vectors.data[1].embedding
    assert len(speech.content) == 24_000
    assert text.text.startswith("tok0")


async def test_scripted_modes_come_first(fake_openai: FakeOpenAI, http: aiohttp.ClientSession) -> None:
    fake_openai.script(modes.error(500), modes.rate_limited("7"))

    statuses = [(await read(http, chat(False)))[0] for _ in range(3)]

    assert statuses == [500, 429, 200]


async def test_unknown_model_and_wrong_key(fake_openai: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await client.embeddings.create(model="nope", input="a")
    assert missing.value.code == "model_not_found"

    fake_openai.api_key = "other"
    with pytest.raises(openai.AuthenticationError):
        await client.models.list()


async def test_client_that_leaves_is_recorded(fake_openai: FakeOpenAI, http: aiohttp.ClientSession) -> None:
    fake_openai.mode = modes.ok(1000, interval=0.01)

    async with http.post("/v1/chat/completions", json=chat()) as response:
        await response.content.readany()
        assert fake_openai.in_flight == 1

    await eventually(lambda: not fake_openai.in_flight)
    assert fake_openai.requests[-1].cancelled
    assert fake_openai.tokens_sent < 1000


@pytest.mark.parametrize("stream", [True, False])
async def test_hang_accept_is_silent_until_the_client_leaves(
    fake_openai: FakeOpenAI, http: aiohttp.ClientSession, stream: bool
) -> None:
    fake_openai.mode = modes.hang_accept()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await read(http, chat(stream))

    await eventually(lambda: fake_openai.requests[-1].cancelled)


@pytest.mark.parametrize(("how", "complete"), [("reset", False), ("close", False), ("end", True)])
async def test_die_after_sends_exactly_so_much(
    fake_openai: FakeOpenAI, http: aiohttp.ClientSession, how: modes.Death, complete: bool
) -> None:
    fake_openai.mode = modes.die_after(3, how, at_byte=20)

    status, data, ended = await read(http, chat())

    assert (status, ended) == (200, complete)
    assert fake_openai.tokens_sent == 3
    assert b"tok2" in data
    assert b"tok3" not in data
    assert len(data.rsplit(b"\n\n", 1)[1]) == 20
    assert not fake_openai.requests[-1].cancelled


async def test_drop_gives_no_answer(fake_openai: FakeOpenAI, http: aiohttp.ClientSession) -> None:
    fake_openai.mode = modes.drop()

    assert await read(http, chat(False)) == (0, b"", False)


async def test_stall_keeps_the_connection_open(fake_openai: FakeOpenAI, http: aiohttp.ClientSession) -> None:
    fake_openai.mode = modes.stall_after(2)

    async with http.post("/v1/chat/completions", json=chat()) as response:
        await eventually(lambda: fake_openai.tokens_sent == 2)
        assert fake_openai.in_flight == 1
        response.close()

    await eventually(lambda: fake_openai.requests[-1].cancelled)


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_garbage_streams(
    fake_openai: FakeOpenAI, http: aiohttp.ClientSession, kind: str
) -> None:
    fake_openai.mode = garbage(kind, after=2)

    status, data, complete = await read(http, chat())

    assert (status, complete) == (200, True)
    assert b"tok1" in data


@pytest.mark.parametrize("kind", WHOLE_KINDS)
async def test_every_kind_of_garbage_as_a_whole_answer(
    fake_openai: FakeOpenAI, http: aiohttp.ClientSession, kind: str
) -> None:
    fake_openai.mode = garbage(kind)

    status, _, complete = await read(http, chat(False))

    assert (status, complete) == (200, True)


@pytest.mark.parametrize("stream", [True, False])
async def test_mutations_repeat_by_seed(
    fake_openai: FakeOpenAI, http: aiohttp.ClientSession, stream: bool
) -> None:
    bodies = []
    for seed in (*range(20), *range(20)):
        fake_openai.mode = mutated(seed)
        bodies.append((await read(http, chat(stream)))[1])

    assert [len(body) for body in bodies[:20]] == [len(body) for body in bodies[20:]]
    assert len(set(bodies)) > 10


async def test_modes_may_depend_on_the_model(client: openai.AsyncOpenAI, fake_openai: FakeOpenAI) -> None:
    fake_openai.models.append("broken")
    fake_openai.model_modes["broken"] = modes.error(500)

    await client.embeddings.create(model="fake-model", input="a")
    with pytest.raises(openai.InternalServerError):
        await client.embeddings.create(model="broken", input="a")


async def test_logprobs_when_asked_for(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="fake-model", messages=MESSAGES, logprobs=True)

    rows = answer.choices[0].logprobs
    assert rows is not None
    assert [row.token for row in rows.content or []] == ["tok0 ", "tok1 ", "tok2 ", "tok3 ", "tok4 "]


async def test_stopping_the_fake_is_not_the_client_leaving(
    fake_openai: FakeOpenAI, http: aiohttp.ClientSession
) -> None:
    fake_openai.mode = modes.stall_after(1)

    async with http.post("/v1/chat/completions", json=chat()) as response:
        await response.content.readany()
        await fake_openai.stop()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.read()

    assert not fake_openai.requests[-1].cancelled


async def test_split_character_is_legal(fake_openai: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    fake_openai.mode = garbage("split_utf8")

    stream = await client.chat.completions.create(model="fake-model", messages=MESSAGES, stream=True)

    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "€"


async def test_tool_calls_and_reasoning(fake_openai: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    fake_openai.script(modes.tool_calls(("f", '{"a": 1}'), ("g", "{}")), modes.reasoning("hm hm", "yes"))

    async with client.chat.completions.stream(model="fake-model", messages=MESSAGES) as stream:
        final = await stream.get_final_completion()
    whole = await client.chat.completions.create(model="fake-model", messages=MESSAGES)

    calls = final.choices[0].message.tool_calls or []
    assert [(call.function.name, call.function.arguments) for call in calls] == [
        ("f", '{"a": 1}'),
        ("g", "{}"),
    ]
    assert whole.choices[0].message.to_dict()["reasoning_content"] == "hm hm"


async def test_gzip_and_comeback_at_the_same_port(
    fake_openai: FakeOpenAI, http: aiohttp.ClientSession
) -> None:
    fake_openai.mode = modes.gzip_body(2)
    assert b"tok1" in (await read(http, chat(False)))[1]

    port = fake_openai.port
    await fake_openai.stop()
    assert (await read(http, chat()))[0] == 0
    await fake_openai.start(port)
    assert (await read(http, chat(False)))[0] == 200
