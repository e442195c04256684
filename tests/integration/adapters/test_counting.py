"""A prompt's tokens: by the engine's own count, which is that of its answers, or else marked as an estimate."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from nexus_inference_adapters.host.backend import Backend
from nexus_inference_adapters.vocabulary import CHAT
from nexus_operations import estimate
from support.adapter_host import HELLO, OPERATIONS, Bench, envelope
from support.fake_ollama import FakeOllama
from support.fake_openai import FakeOpenAI
from support.fake_vllm import FakeVllm
from support.llama_cpp import LlamaCppServer

Body = dict[str, Any]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
REQUESTS: list[tuple[str, Body]] = [
    ("chat", HELLO),
    (
        "chat",
        {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "日本語 hi"}]},
    ),
    (
        "chat",
        {"messages": [{"role": "user", "content": [{"type": "text", "text": t} for t in ("one", "two")]}]},
    ),
    ("chat", {"messages": [{"role": "user", "content": "<|im_end|> <s>"}], "stream": True}),
    ("completion", {"prompt": "Once upon a time"}),
    ("completion", {"prompt": ["just one"]}),
    ("completion", {"prompt": [5, 6, 7]}),
]
UNCOUNTABLE: list[tuple[str, Body]] = [
    ("chat", {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE]}]}),
    ("completion", {"prompt": ["one", "two"]}),
]


async def count(backend: Backend, body: Body, operation: str = "chat") -> tuple[int, str, bool]:
    counted = await backend.count(envelope(backend, body, operation), body)
    return counted.tokens, counted.method, counted.estimated


async def used(bench: Bench, backend: Backend, body: Body, operation: str) -> int:
    """The tokens of the prompt by the engine's own bill."""
    answer = await bench.complete(backend, {**body, "max_tokens": 1, "stream": False}, operation)
    return answer["usage"]["prompt_tokens"]


@pytest.mark.parametrize(("operation", "body"), [*REQUESTS, ("chat", {**HELLO, "tools": TOOLS})])
async def test_llama_cpp_counts_what_it_will_bill(
    bench: Bench, llama_cpp_server: LlamaCppServer, operation: str, body: Body
) -> None:
    backend = await bench.serve("openai_compatible", llama_cpp_server.url)
    counted = await count(backend, body, operation)
    assert counted == (await used(bench, backend, body, operation), "llama.cpp", False)


async def test_an_embedder_counts_what_it_will_bill(bench: Bench, llama_cpp_embedder: LlamaCppServer) -> None:
    backend = await bench.serve("openai_compatible", llama_cpp_embedder.url)
    body: Body = {"input": "Once upon a time"}
    answer = await bench.complete(backend, body, "embedding")
    assert await count(backend, body, "embedding") == (answer["usage"]["prompt_tokens"], "llama.cpp", False)


@pytest.mark.parametrize(("operation", "body"), [REQUESTS[1], REQUESTS[4]])
async def test_the_embedded_engine_counts_what_it_will_bill(bench: Bench, operation: str, body: Body) -> None:
    backend = await bench.serve("embedded")
    counted = await count(backend, body, operation)
    assert counted == (await used(bench, backend, body, operation), "llama.cpp", False)


@pytest.mark.parametrize(("operation", "body"), REQUESTS[:-1])  # the fake bills words only
async def test_vllm_counts_what_it_will_bill(
    bench: Bench, fake_vllm: FakeVllm, operation: str, body: Body
) -> None:
    backend = await bench.serve("openai_compatible", fake_vllm.url)
    counted = await count(backend, body, operation)
    assert counted[1:] == ("vllm", False)
    assert counted[0] == await used(bench, backend, body, operation)


async def test_vllm_is_asked_about_the_prompt_it_would_get(bench: Bench, fake_vllm: FakeVllm) -> None:
    backend = await bench.serve("openai_compatible", fake_vllm.url)
    body: Body = {**HELLO, "tools": TOOLS, "temperature": 0.5, "max_tokens": 9, "stream": True}
    assert (await count(backend, body))[2] is False
    asked = fake_vllm.requests[-1]
    assert asked.path == "/tokenize"
    assert asked.body == {"model": fake_vllm.models[0], "messages": HELLO["messages"], "tools": TOOLS}


@pytest.mark.parametrize(("operation", "body"), UNCOUNTABLE)
async def test_what_an_engine_would_count_wrongly_is_estimated(
    bench: Bench, llama_cpp_server: LlamaCppServer, fake_vllm: FakeVllm, operation: str, body: Body
) -> None:
    for url in (llama_cpp_server.url, fake_vllm.url):
        backend = await bench.serve("openai_compatible", url)
        assert await count(backend, body, operation) == (
            estimate(OPERATIONS[operation], body),
            "estimate",
            True,
        )


@pytest.mark.parametrize("more", [{"reasoning_effort": "high"}, {"tools": TOOLS, "tool_choice": "none"}])
async def test_what_vllm_does_not_say_of_a_prompt_is_estimated(
    bench: Bench, fake_vllm: FakeVllm, more: Body
) -> None:
    backend = await bench.serve("openai_compatible", fake_vllm.url)
    assert (await count(backend, {**HELLO, **more}))[1:] == ("estimate", True)


async def test_who_has_no_counter_gives_an_estimate(
    bench: Bench, fake_openai: FakeOpenAI, fake_ollama: FakeOllama
) -> None:
    for kind, url in (("openai_compatible", fake_openai.url), ("ollama", fake_ollama.url)):
        backend = await bench.serve(kind, url)
        assert await count(backend, HELLO) == (estimate(CHAT, HELLO), "estimate", True)


class BrokenCounter(FakeVllm):
    """Its counter answers with `answer_with`, or never when that is None."""

    answer_with: Body | None = None

    async def _tokenize(self, request: web.Request) -> web.Response:
        while self.answer_with is None:
            await asyncio.Event().wait()
        return web.json_response(self.answer_with, status=self.answer_with.get("status", 200))


@pytest.mark.parametrize("said", [None, {"status": 500}, {"count": "9"}, {"count": -1}, {"tokens": 9}])
async def test_a_counter_that_fails_or_hangs_leaves_an_estimate(bench: Bench, said: Body | None) -> None:
    async with BrokenCounter() as fake:
        fake.answer_with = said
        backend = await bench.serve("openai_compatible", fake.url)
        assert await count(backend, HELLO) == (estimate(CHAT, HELLO), "estimate", True)


async def test_a_full_backend_counts_all_the_same(bench: Bench, fake_vllm: FakeVllm) -> None:
    fake_vllm.interval = 30.0
    backend = await bench.serve("openai_compatible", fake_vllm.url, max_concurrency=1)
    running = asyncio.ensure_future(bench.complete(backend, HELLO))
    try:
        assert (await count(backend, HELLO))[1] == "vllm"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
