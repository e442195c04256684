"""The fake Ollama speaks the native API, and its /v1 loses what the real one loses."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from support.fake_ollama import FakeOllama
from support.fake_ollama_models import OllamaModel
from support.waiting import eventually

Json = dict[str, Any]


@pytest.fixture
async def http(fake_ollama: FakeOllama) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(fake_ollama.url, timeout=aiohttp.ClientTimeout(10)) as session:
        yield session


def chat(model: str = "llama3.2", prompt: str = "hello there", **extra: Any) -> Json:
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **extra}


async def call(http: aiohttp.ClientSession, path: str, body: Json | None = None) -> tuple[int, Json]:
    """GET without a body, else POST; whole answers only."""
    async with http.request("GET" if body is None else "POST", path, json=body) as response:
        assert response.content_type == "application/json"
        return response.status, await response.json()


async def lines(http: aiohttp.ClientSession, path: str, body: Json) -> list[Json]:
    async with http.post(path, json=body) as response:
        assert response.status == 200
        assert response.content_type == "application/x-ndjson"
        return [json.loads(line) async for line in response.content]


async def test_root_and_version(http: aiohttp.ClientSession) -> None:
    async with http.get("/") as response:
        assert await response.text() == "Ollama is running"
    async with http.head("/") as response:
        assert response.status == 200
    assert await call(http, "/api/version") == (200, {"version": "0.32.15"})


async def test_chat_streams_by_default_and_the_last_chunk_holds_content(http: aiohttp.ClientSession) -> None:
    chunks = await lines(http, "/api/chat", chat())

    assert "".join(chunk["message"]["content"] for chunk in chunks) == "hello from ollama"
    assert [chunk["done"] for chunk in chunks] == [False, False, True]
    assert chunks[-1]["message"]["content"] == "ollama"
    assert chunks[-1]["done_reason"] == "stop"
    assert (chunks[-1]["prompt_eval_count"], chunks[-1]["eval_count"]) == (2, 3)


async def test_whole_answer_and_zero_counts(fake_ollama: FakeOllama, http: aiohttp.ClientSession) -> None:
    status, answer = await call(http, "/api/generate", {"model": "llama3.2", "prompt": "a", "stream": False})
    assert (status, answer["response"]) == (200, "hello from ollama")

    fake_ollama.engine.answer = ""
    _, answer = await call(http, "/api/chat", chat(stream=False))
    assert "eval_count" not in answer
    assert answer["message"]["content"] == ""


async def test_names_without_tag_mean_latest(http: aiohttp.ClientSession) -> None:
    _, tags = await call(http, "/api/tags")
    _, show = await call(http, "/api/show", {"model": "llama3.2"})

    assert all(":" in row["name"] for row in tags["models"])
    assert show["model_info"]["llama.context_length"] == 8192
    assert show["capabilities"] == ["completion", "tools"]
    assert [row["name"] for row in tags["models"] if row.get("remote_host")] == ["gpt-oss:120b-cloud"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (chat("nope"), 404, "model 'nope' not found"),
        (chat(""), 400, "model is required"),
        (chat("llava", tools=[{}]), 400, '"llava" does not support tools'),
        (chat(think=True), 400, '"llama3.2" does not support thinking'),
        (chat("all-minilm"), 400, '"all-minilm" does not support chat'),
        (chat(prompt="w " * 5000, truncate=False), 400, "the input length exceeds the context length"),
        (chat(keep_alive="5 minutes"), 400, 'time: invalid duration "5 minutes"'),
    ],
)
async def test_errors_are_plain_strings(
    http: aiohttp.ClientSession, body: Json, status: int, message: str
) -> None:
    assert await call(http, "/api/chat", body) == (status, {"error": message})


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
    ],
)
async def test_openai_shaped_messages_are_refused(http: aiohttp.ClientSession, message: Json) -> None:
    status, answer = await call(http, "/api/chat", {"model": "llama3.2", "messages": [message]})

    assert status == 400
    assert answer["error"].startswith("json: cannot unmarshal")


async def test_over_long_prompt_is_cut_in_silence(
    fake_ollama: FakeOllama, http: aiohttp.ClientSession
) -> None:
    chunks = await lines(http, "/api/chat", chat(prompt="w " * 5000))

    assert chunks[-1]["prompt_eval_count"] == 4096
    assert fake_ollama.engine.truncated == 1


async def test_limits_end_with_length(http: aiohttp.ClientSession) -> None:
    predicted = await lines(http, "/api/chat", chat(options={"num_predict": 2}))
    unshifted = await lines(http, "/api/chat", chat(options={"num_ctx": 3}, shift=False))

    assert (predicted[-1]["done_reason"], predicted[-1]["eval_count"]) == ("length", 2)
    assert (unshifted[-1]["done_reason"], unshifted[-1]["eval_count"]) == ("length", 1)


async def test_another_num_ctx_loads_again(fake_ollama: FakeOllama, http: aiohttp.ClientSession) -> None:
    for num_ctx in (None, 4096, 2048):
        await lines(http, "/api/chat", chat(options={"num_ctx": num_ctx} if num_ctx else {}))

    assert fake_ollama.engine.loads == [("llama3.2:latest", 4096), ("llama3.2:latest", 2048)]


async def test_load_and_unload(http: aiohttp.ClientSession) -> None:
    empty = {"model": "llama3.2", "messages": []}
    _, loaded = await call(http, "/api/chat", {**empty, "keep_alive": -1})
    _, held = await call(http, "/api/ps")
    _, unloaded = await call(http, "/api/chat", {**empty, "keep_alive": 0})
    _, gone = await call(http, "/api/ps")

    assert (loaded["done_reason"], unloaded["done_reason"]) == ("load", "unload")
    assert [(row["name"], row["context_length"]) for row in held["models"]] == [("llama3.2:latest", 4096)]
    assert gone == {"models": []}


async def test_broken_stream_is_an_error_line_with_200(
    fake_ollama: FakeOllama, http: aiohttp.ClientSession
) -> None:
    fake_ollama.engine.fail_after = 2

    chunks = await lines(http, "/api/chat", chat())

    assert "unexpectedly stopped" in chunks[-1]["error"]
    assert not any(chunk.get("done") for chunk in chunks)
    assert (await call(http, "/api/chat", chat(stream=False)))[0] == 500


async def test_tool_calls_come_whole(fake_ollama: FakeOllama, http: aiohttp.ClientSession) -> None:
    fake_ollama.engine.answer, fake_ollama.engine.tool_calls = "", [("f", {"a": 1}), ("g", {})]

    chunks = await lines(http, "/api/chat", chat(tools=[{"type": "function"}]))
    fake_ollama.engine.tool_call_ids = True
    _, whole = await call(http, "/api/chat", chat(tools=[{"type": "function"}], stream=False))

    assert chunks[0]["message"]["tool_calls"] == [
        {"function": {"index": 0, "name": "f", "arguments": {"a": 1}}},
        {"function": {"index": 1, "name": "g", "arguments": {}}},
    ]
    assert [item["id"] for item in whole["message"]["tool_calls"]] == ["call_0", "call_1"]


async def test_thinking_comes_first(fake_ollama: FakeOllama, http: aiohttp.ClientSession) -> None:
    fake_ollama.engine.thought = "hm hm"

    chunks = await lines(http, "/api/chat", chat("qwen3:8b", think=True))
    silent = await lines(http, "/api/chat", chat("qwen3:8b", think=False))

    assert "".join(chunk["message"].get("thinking", "") for chunk in chunks) == "hm hm"
    assert not any("thinking" in chunk["message"] for chunk in silent)


async def test_full_queue_is_503(fake_ollama: FakeOllama, http: aiohttp.ClientSession) -> None:
    fake_ollama.engine.interval, fake_ollama.engine.max_queue = 10, 1
    waiting = [asyncio.create_task(call(http, "/api/chat", chat(stream=False))) for _ in range(2)]
    await eventually(lambda: (fake_ollama.engine.busy, fake_ollama.engine.queued) == (1, 1))

    status, answer = await call(http, "/api/chat", chat(stream=False))

    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await eventually(lambda: (fake_ollama.engine.busy, fake_ollama.engine.queued) == (0, 0))
    assert (status, answer["error"][:11]) == (503, "server busy")


async def test_embeddings(http: aiohttp.ClientSession) -> None:
    _, both = await call(http, "/api/embed", {"model": "all-minilm", "input": ["a b", "c"]})
    _, old = await call(http, "/api/embeddings", {"model": "all-minilm", "prompt": "a b"})
    refused = {"model": "all-minilm", "input": "w " * 600, "truncate": False}

    length = math.hypot(*old["embedding"])
    assert both["embeddings"][0] == pytest.approx([value / length for value in old["embedding"]])
    assert both["prompt_eval_count"] == 3
    assert (await call(http, "/api/embed", refused))[0] == 400
    assert (await call(http, "/api/embed", {"model": "llama3.2", "input": "a"}))[0] == 501


async def test_cloud_models_can_be_switched_off(fake_ollama: FakeOllama, http: aiohttp.ClientSession) -> None:
    chunks = await lines(http, "/api/chat", chat("gpt-oss:120b-cloud"))
    fake_ollama.engine.cloud = False

    assert chunks[-1]["remote_host"] == "https://cloud.example:443"
    assert (await call(http, "/api/chat", chat("gpt-oss:120b-cloud")))[0] == 403


async def test_pull_and_delete(fake_ollama: FakeOllama, http: aiohttp.ClientSession) -> None:
    fake_ollama.engine.pullable["new:latest"] = OllamaModel("new:latest")

    pulled = await lines(http, "/api/pull", {"model": "new"})
    failed = await lines(http, "/api/pull", {"model": "absent"})

    assert pulled[-1] == {"status": "success"}
    assert pulled[2]["completed"] == pulled[2]["total"]
    assert "error" in failed[-1]
    async with http.delete("/api/delete", json={"model": "new"}) as response:
        assert (response.status, await response.read()) == (200, b"")
    assert (await call(http, "/api/show", {"model": "new"}))[0] == 404


async def test_v1_swallows_errors_and_ignores_limits(
    fake_ollama: FakeOllama, http: aiohttp.ClientSession
) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    body = {"model": "llama3.2", "messages": [{"role": "user", "content": parts}], "max_completion_tokens": 1}
    _, answer = await call(http, "/v1/chat/completions", body)
    fake_ollama.engine.fail_after = 1
    async with http.post("/v1/chat/completions", json={**body, "stream": True}) as response:
        text = await response.text()

    assert answer["choices"][0]["message"]["content"] == "hello from ollama"
    run = fake_ollama.engine.runs[0]
    assert [message["content"] for message in run.messages] == ["a", "b"]
    assert run.options == {"temperature": 1.0, "top_p": 1.0}
    assert "error" not in text
    assert "[DONE]" not in text
    assert fake_ollama.paths == ["/v1/chat/completions"] * 2
