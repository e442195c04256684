"""The real llama.cpp server: that the fixture works, and the traps its adapter must know."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from support.llama_cpp import LlamaCppServer, llama_cpp
from support.tiny_gguf import write_tiny_gguf
from support.tiny_llama import TinyLlama
from support.waiting import eventually

Json = dict[str, Any]

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]


@pytest.fixture
async def client(llama_cpp_server: LlamaCppServer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{llama_cpp_server.url}/v1", api_key="k", max_retries=0
    ) as client:
        yield client


@pytest.fixture
async def http(llama_cpp_server: LlamaCppServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(llama_cpp_server.url, timeout=aiohttp.ClientTimeout(20)) as session:
        yield session


async def post(http: aiohttp.ClientSession, path: str, body: Json) -> tuple[int, Json]:
    async with http.post(path, json=body) as response:
        return response.status, await response.json()


async def test_same_prompt_gives_the_same_ascii(client: openai.AsyncOpenAI) -> None:
    answers = [
        await client.chat.completions.create(model="m", messages=MESSAGES, max_tokens=24, temperature=0)
        for _ in range(2)
    ]

    text = answers[0].choices[0].message.content
    assert text == answers[1].choices[0].message.content
    assert text is not None
    assert text.isascii()
    assert text.isprintable()
    assert len(text) == 24
    assert answers[0].choices[0].finish_reason == "length"
    assert answers[0].usage is not None
    assert answers[0].usage.completion_tokens == 24


async def test_stream_ends_with_usage_without_choices(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="m", messages=MESSAGES, max_tokens=5, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5


async def test_any_model_name_is_answered(client: openai.AsyncOpenAI) -> None:
    listed = await client.models.list()
    answer = await client.chat.completions.create(model="no-such-model", messages=MESSAGES, max_tokens=1)

    assert len(listed.data) == 1
    assert answer.choices[0].message.content


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("/v1/no-such-path", {}, 404, "not_found_error"),
        ("/v1/chat/completions", {}, 400, "invalid_request_error"),
        ("/v1/embeddings", {"input": "a"}, 501, "not_supported_error"),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "x" * 3000}]},
            400,
            "exceed_context_size_error",
        ),
    ],
)
async def test_errors_have_integer_codes(
    http: aiohttp.ClientSession, path: str, body: Json, status: int, kind: str
) -> None:
    answered, answer = await post(http, path, body)

    assert answered == status
    assert answer["error"]["code"] == status
    assert answer["error"]["type"] == kind


async def test_several_choices_are_counted_as_one(http: aiohttp.ClientSession) -> None:
    status, answer = await post(http, "/v1/chat/completions", {"messages": MESSAGES, "n": 2, "max_tokens": 3})

    assert status == 200
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert answer["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("ignored", [{"best_of": 2}, {"echo": True}])
async def test_unsupported_parameters_are_ignored(http: aiohttp.ClientSession, ignored: Json) -> None:
    status, answer = await post(http, "/v1/completions", {"prompt": "a", "max_tokens": 2, **ignored})

    assert status == 200
    assert len(answer["choices"][0]["text"]) == 2


async def test_nulls_mean_absent(http: aiohttp.ClientSession) -> None:
    nulls = dict.fromkeys(("temperature", "top_p", "seed", "stop", "tools", "stream", "n"))
    body = {"messages": MESSAGES, "max_tokens": 1, **nulls}

    assert (await post(http, "/v1/chat/completions", body))[0] == 200


async def test_context_is_per_slot(http: aiohttp.ClientSession) -> None:
    async with http.get("/props") as response:
        props = await response.json()
    async with http.get("/slots") as response:
        slots = await response.json()

    assert props["total_slots"] == len(slots) == 2
    assert props["default_generation_settings"]["n_ctx"] == 2048


async def test_metrics_have_the_colon_prefix(http: aiohttp.ClientSession) -> None:
    async with http.get("/metrics") as response:
        assert "llamacpp:requests_processing" in await response.text()


async def test_json_schema_is_enforced_by_grammar(http: aiohttp.ClientSession) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"]}
    response_format = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    body = {"messages": MESSAGES, "response_format": response_format, "max_tokens": 200}

    status, answer = await post(http, "/v1/chat/completions", body)

    assert status == 200
    assert json.loads(answer["choices"][0]["message"]["content"])["a"] in ("x", "y")


@pytest.fixture
def one_slot(tmp_path: Path) -> Iterator[LlamaCppServer]:
    """One slot of 8192 tokens: several seconds of work."""
    model = write_tiny_gguf(tmp_path / "model.gguf", TinyLlama(context_length=8192))
    with llama_cpp(model, tmp_path / "log", n_ctx=8192, n_parallel=1) as server:
        yield server


@pytest.mark.parametrize(("stream", "tokens"), [(True, 7000), (False, 2000)])
async def test_only_a_stream_stops_when_its_client_leaves(
    one_slot: LlamaCppServer, stream: bool, tokens: int
) -> None:
    """A whole answer is generated to its end, for nobody."""
    async with aiohttp.ClientSession(one_slot.url, timeout=aiohttp.ClientTimeout(60)) as http:

        async def busy() -> bool:
            async with http.get("/slots") as slots:
                return any(slot["is_processing"] for slot in await slots.json())

        async def idle() -> bool:
            return not await busy()

        body = {"messages": MESSAGES, "stream": stream, "max_tokens": tokens}
        call = asyncio.create_task(post(http, "/v1/chat/completions", body))
        await eventually(busy)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await eventually(idle, timeout=60)
        async with http.get("/metrics") as response:
            generated = re.search(
                r"^llamacpp:tokens_predicted_total (\d+)", await response.text(), re.MULTILINE
            )

    assert generated is not None
    assert (int(generated[1]) < tokens) == stream


async def test_embeddings(llama_cpp_embedder: LlamaCppServer) -> None:
    async with openai.AsyncOpenAI(base_url=f"{llama_cpp_embedder.url}/v1", api_key="k") as client:
        answer = await client.embeddings.create(model="m", input=["one", "two"])

    assert [row.index for row in answer.data] == [0, 1]
    assert {len(row.embedding) for row in answer.data} == {64}


async def test_killed_server_leaves_half_a_stream(own_llama_cpp: LlamaCppServer) -> None:
    async with aiohttp.ClientSession(own_llama_cpp.url, timeout=aiohttp.ClientTimeout(20)) as http:
        body = {"messages": MESSAGES, "stream": True, "max_tokens": 2000}
        async with http.post("/v1/chat/completions", json=body) as response:
            await response.content.readany()
            own_llama_cpp.child.send_signal(signal.SIGKILL)
            await eventually(lambda: not own_llama_cpp.child.alive)
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.content.read()
