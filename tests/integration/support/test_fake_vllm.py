"""The fake vLLM keeps vLLM's habits, the awkward ones above all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from support.fake_vllm import DEFAULT_MODEL, FakeVllm
from support.waiting import eventually

Json = dict[str, Any]


@pytest.fixture
async def http(fake_vllm: FakeVllm) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(fake_vllm.url, timeout=aiohttp.ClientTimeout(10)) as session:
        yield session


def chat(prompt: str = "hello there", **extra: Any) -> Json:
    return {"model": DEFAULT_MODEL, "messages": [{"role": "user", "content": prompt}], **extra}


async def post(http: aiohttp.ClientSession, body: Json, **options: Any) -> tuple[int, Json]:
    async with http.post("/v1/chat/completions", json=body, **options) as response:
        return response.status, await response.json()


async def events(http: aiohttp.ClientSession, body: Json) -> list[Any]:
    """The data of every event; [DONE] as the string."""
    async with http.post("/v1/chat/completions", json={**body, "stream": True}) as response:
        lines = (await response.text()).split("\n\n")
    data = [line.removeprefix("data: ") for line in lines if line]
    return [item if item == "[DONE]" else json.loads(item) for item in data]


async def test_health_is_empty_and_says_when_the_engine_is_dead(
    fake_vllm: FakeVllm, http: aiohttp.ClientSession
) -> None:
    async with http.get("/health") as response:
        assert (response.status, await response.read()) == (200, b"")
    fake_vllm.healthy = False
    async with http.get("/health") as response:
        assert response.status == 503


async def test_models_tell_their_length(http: aiohttp.ClientSession) -> None:
    async with http.get("/v1/models") as response:
        rows = (await response.json())["data"]

    assert [(row["id"], row["max_model_len"], row["owned_by"]) for row in rows] == [
        (DEFAULT_MODEL, 128, "vllm")
    ]


@pytest.mark.parametrize(
    ("body", "status", "kind", "phrase"),
    [
        (chat(model="nope"), 404, "NotFoundError", "does not exist"),
        (chat(tools=[{"type": "function"}]), 400, "BadRequestError", "--enable-auto-tool-choice"),
        (chat("word " * 200), 400, "BadRequestError", "maximum context length"),
        (chat(max_tokens=127), 400, "BadRequestError", "maximum context length"),
    ],
)
async def test_errors_have_integer_codes_and_class_names(
    http: aiohttp.ClientSession, body: Json, status: int, kind: str, phrase: str
) -> None:
    answered, answer = await post(http, body)

    assert answered == answer["error"]["code"] == status
    assert answer["error"]["type"] == kind
    assert phrase in answer["error"]["message"]


async def test_error_in_a_stream_precedes_done(fake_vllm: FakeVllm, http: aiohttp.ClientSession) -> None:
    fake_vllm.fail_after = 2

    data = await events(http, chat())

    assert data[-2]["error"]["code"] == 500
    assert data[-1] == "[DONE]"
    assert not any(choice["finish_reason"] for event in data[:-2] for choice in event["choices"])


async def test_choices_interleave_and_reasoning_comes_first(
    fake_vllm: FakeVllm, http: aiohttp.ClientSession
) -> None:
    fake_vllm.thought, fake_vllm.answer = "hm", "a b"

    data = await events(
        http, chat(n=2, stream_options={"include_usage": True, "continuous_usage_stats": True})
    )

    words = [(choice["index"], choice["delta"]) for event in data[2:8] for choice in event["choices"]]
    assert words[:4] == [
        (0, {"reasoning": "hm "}),
        (1, {"reasoning": "hm "}),
        (0, {"content": "a "}),
        (1, {"content": "a "}),
    ]
    assert data[4]["usage"]["completion_tokens"] == 3
    assert data[-3]["choices"][0]["stop_reason"] is None
    assert data[-2]["choices"] == []
    assert data[-2]["usage"]["completion_tokens"] == 6


async def test_tool_calls_need_the_flag(fake_vllm: FakeVllm, http: aiohttp.ClientSession) -> None:
    fake_vllm.tool_parser, fake_vllm.tool_call = True, ("f", '{"a": 1}')

    status, answer = await post(http, chat(tools=[{"type": "function"}]))
    data = await events(http, chat(tools=[{"type": "function"}]))

    assert status == 200
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'
    assert data[2]["choices"][0]["delta"]["tool_calls"][0]["index"] == 0


async def test_metrics_show_running_and_waiting() -> None:
    async with FakeVllm(max_num_seqs=1, load_tracking=True) as fake, aiohttp.ClientSession(fake.url) as http:
        fake.interval = 10
        calls = [asyncio.create_task(post(http, chat())) for _ in range(3)]
        await eventually(lambda: fake.waiting == 2)

        async with http.get("/metrics") as response:
            text = await response.text()
        async with http.get("/load") as response:
            load = await response.json()

        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await eventually(lambda: not fake.running and not fake.waiting)
    labels = f'{{engine="0",model_name="{DEFAULT_MODEL}"}}'
    assert f"vllm:num_requests_running{labels} 1.0" in text
    assert f"vllm:num_requests_waiting{labels} 2.0" in text
    assert load == {"server_load": 3}


async def test_key_guards_v1_alone_and_request_id_becomes_the_id(http: aiohttp.ClientSession) -> None:
    _, answer = await post(http, chat(), headers={"X-Request-Id": "abc"})
    assert answer["id"] == "chatcmpl-abc"

    async with FakeVllm(api_key="k") as fake, aiohttp.ClientSession(fake.url) as guarded:
        assert (await post(guarded, chat()))[0] == 401
        async with guarded.post("/tokenize", json={"prompt": "a b"}) as response:
            assert (await response.json())["count"] == 2
        async with guarded.get("/load") as response:
            assert (response.status, await response.json()) == (404, {"detail": "Not Found"})
