"""The official client against the edge: answers, streams, embeddings, models."""

from __future__ import annotations

import asyncio
from typing import Any

from openai import AsyncStream
from openai.types.chat import ChatCompletionChunk
from support.edge_pipeline import chunks, delta, finish, raw_chunks, text_steps, usage
from support.edge_server import running_edge

ASK: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
TOOL: Any = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
}


async def collect(stream: AsyncStream[ChatCompletionChunk]) -> list[ChatCompletionChunk]:
    return [chunk async for chunk in stream]


async def test_a_whole_answer() -> None:
    async with running_edge() as edge, edge.client() as client:
        answer = await client.chat.completions.with_raw_response.create(**ASK)
        assert answer.parse().choices[0].message.content == "Hello world"
        assert answer.headers["x-request-id"].startswith("req_")
        assert answer.headers["x-nexus-backend"] == "box"
        assert answer.headers["x-nexus-model"] == "served-model"
        assert answer.headers["x-nexus-instance"] == "node/adapter/one"
        assert edge.pipeline.requests[0].request_id == answer.headers["x-request-id"]
        principal = edge.pipeline.requests[0].principal
        assert principal is not None
        assert principal.id == "nx_test_good"


async def test_the_sync_client() -> None:
    async with running_edge() as edge:

        def talk() -> tuple[str | None, str]:
            with edge.sync_client() as client:
                whole = client.chat.completions.create(**ASK).choices[0].message.content
                pieces = [
                    c.choices[0].delta.content or ""
                    for c in client.chat.completions.create(**ASK, stream=True)
                ]
                return whole, "".join(pieces)

        assert await asyncio.to_thread(talk) == ("Hello world", "Hello world")


async def test_a_stream() -> None:
    async with running_edge() as edge, edge.client() as client:
        answer = await client.chat.completions.with_raw_response.create(**ASK, stream=True)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["x-nexus-backend"] == "box"
        got = await collect(answer.parse())
        assert "".join(c.choices[0].delta.content or "" for c in got) == "Hello world"
        assert got[0].choices[0].delta.role == "assistant"
        assert [c.choices[0].finish_reason for c in got] == [None, None, "stop"]
        assert len({(c.id, c.created, c.model) for c in got}) == 1
        assert got[0].model == "served-model"


async def test_usage_is_streamed_only_when_asked_for() -> None:
    async with running_edge() as edge, edge.client() as client:
        got = await collect(
            await client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
        )
        assert got[-1].choices == []
        assert got[-1].usage is not None
        assert got[-1].usage.total_tokens == 5
        assert all(chunk.usage is None and chunk.choices for chunk in got[:-1])


async def test_the_client_s_own_accumulator_follows_tool_calls() -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    parts = [{"index": 0, "function": {"arguments": piece}} for piece in ('{"a"', ": 1}")]
    async with running_edge() as edge, edge.client() as client:
        edge.pipeline.steps = [
            chunks(delta(tool_calls=[call]), *(delta(tool_calls=[part]) for part in parts)),
            chunks(delta(finish="tool_calls")),
            finish(usage()),
        ]
        async with client.chat.completions.stream(**ASK, tools=[TOOL]) as stream:
            message = (await stream.get_final_completion()).choices[0].message
        assert message.tool_calls is not None
        assert message.tool_calls[0].function.arguments == '{"a": 1}'


async def test_interleaved_choices() -> None:
    async with running_edge() as edge, edge.client() as client:
        edge.pipeline.steps = [
            chunks(delta(0, content="a"), delta(1, content="b")),
            chunks([delta(1, content="c"), delta(0, "stop")]),
            chunks(delta(1, "length")),
            finish(),
        ]
        got = await collect(await client.chat.completions.create(**ASK, n=2, stream=True))
        texts: dict[int, str] = dict.fromkeys((0, 1), "")
        for choice in (choice for chunk in got for choice in chunk.choices):
            texts[choice.index] += choice.delta.content or ""
        assert texts == {0: "a", 1: "bc"}


async def test_legacy_completions() -> None:
    async with running_edge() as edge, edge.client() as client:
        whole = await client.completions.create(model="m", prompt=["a", "b"], n=2)
        assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
        edge.pipeline.steps = [
            raw_chunks('{"choices":[{"index":0,"text":"Hello"}]}'),
            raw_chunks('{"choices":[{"index":0,"text":"","finish_reason":"stop"}]}'),
            finish(),
        ]
        got = [chunk async for chunk in await client.completions.create(model="m", prompt="a", stream=True)]
        assert "".join(chunk.choices[0].text for chunk in got) == "Hello"
        assert {chunk.object for chunk in got} == {"text_completion"}
        assert got[0].id.startswith("cmpl-")


async def test_embeddings_in_the_client_s_default_form() -> None:
    async with running_edge() as edge, edge.client() as client:
        answer = await client.embeddings.create(model="m", input=["a", "b", "c"], dimensions=3)
        assert [row.embedding for row in answer.data] == [[i + 0.5, -0.25, 0.125] for i in range(3)]
        assert edge.pipeline.requests[0].base64
        assert edge.pipeline.requests[0].body["encoding_format"] == "float"
        assert edge.pipeline.requests[0].body["dimensions"] == 3
        floats = await client.embeddings.create(model="m", input="a", encoding_format="float")
        assert floats.data[0].embedding == [0.5, -0.25, 0.125]


async def test_models() -> None:
    async with running_edge() as edge, edge.client() as client:
        assert [model.id async for model in client.models.list()] == ["llama3.1:70b", "org/model:tag"]
        model = await client.models.retrieve("org/model:tag")
        assert (model.id, model.object, model.owned_by) == ("org/model:tag", "model", "nexus")


async def test_a_connection_is_used_again_after_a_stream() -> None:
    async with running_edge() as edge, edge.client() as client:
        for _ in range(5):
            edge.pipeline.steps = text_steps("x")
            await collect(await client.chat.completions.create(**ASK, stream=True))
        assert edge.server.connections == 1
