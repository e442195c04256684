"""The real mlx_lm.server: that the fixture works, and the traps its adapter must know."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from support.mlx_server import MlxServer

Json = dict[str, Any]

CHAT = "/v1/chat/completions"
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]


@pytest.fixture
async def http(mlx_lm_server: MlxServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(mlx_lm_server.url, timeout=aiohttp.ClientTimeout(60)) as session:
        yield session


async def raw(server: MlxServer, path: str, body: bytes, *headers: str) -> bytes:
    """Every byte the server sends for one POST, until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)
    try:
        head = "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", *headers, "", ""])
        writer.write(head.encode() + body)
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.close()


async def chat(server: MlxServer, **body: Any) -> tuple[bytes, bytes]:
    """(head, body) of the raw answer to a chat request."""
    data = json.dumps({"messages": MESSAGES, "max_tokens": 3, **body}).encode()
    answer = await raw(server, CHAT, data, f"Content-Length: {len(data)}")
    head, _, rest = answer.partition(b"\r\n\r\n")
    return head, rest


async def test_same_prompt_gives_the_same_ascii(mlx_lm_server: MlxServer) -> None:
    async with openai.AsyncOpenAI(base_url=f"{mlx_lm_server.url}/v1", api_key="k", max_retries=0) as client:
        answers = [
            await client.chat.completions.create(model="default_model", messages=MESSAGES, max_tokens=12)
            for _ in range(2)
        ]

    text = answers[0].choices[0].message.content
    assert text == answers[1].choices[0].message.content
    assert text is not None
    assert text.isascii()
    assert len(text) == 12
    assert answers[0].choices[0].finish_reason == "length"


async def test_stream_has_keepalives_and_an_odd_usage_chunk(mlx_lm_server: MlxServer) -> None:
    head, body = await chat(mlx_lm_server, stream=True, stream_options={"include_usage": True})

    frames = body.split(b"\n\n")
    events = [json.loads(frame.removeprefix(b"data: ")) for frame in frames if frame.startswith(b"data: {")]
    assert head.startswith(b"HTTP/1.0 200")
    assert frames[0].startswith(b": keepalive ")
    assert frames[-2:] == [b"data: [DONE]", b""]
    assert all(event["choices"][0]["delta"]["role"] == "assistant" for event in events[:-1])
    assert (events[-1]["object"], events[-1]["choices"]) == ("chat.completion", [])
    assert events[-1]["usage"]["completion_tokens"] == 3


async def test_stream_options_without_include_usage_cut_the_stream(mlx_lm_server: MlxServer) -> None:
    _, body = await chat(mlx_lm_server, stream=True, stream_options={})

    assert b'"finish_reason": "length"' in body
    assert b"[DONE]" not in body


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": None},
        {"top_p": None},
        {"stream": None},
        {"logprobs": 1},
        {"xtc_probability": 0},
        {"model": None},
    ],
)
async def test_ill_typed_parameters_are_400_with_a_string(mlx_lm_server: MlxServer, wrong: Json) -> None:
    head, body = await chat(mlx_lm_server, **wrong)

    assert head.startswith(b"HTTP/1.0 400")
    assert "must be of type" in json.loads(body)["error"]


async def test_body_that_is_not_utf8_closes_the_socket_without_an_answer(mlx_lm_server: MlxServer) -> None:
    assert await raw(mlx_lm_server, CHAT, b'{"a": "\xff"}', "Content-Length: 10") == b""


async def test_messages_that_are_not_objects_are_400(mlx_lm_server: MlxServer) -> None:
    head, _ = await chat(mlx_lm_server, messages="hello")

    assert head.startswith(b"HTTP/1.0 400")


async def test_chunked_request_needs_a_length(mlx_lm_server: MlxServer) -> None:
    answer = await raw(mlx_lm_server, CHAT, b"", "Transfer-Encoding: chunked")

    assert answer.startswith(b"HTTP/1.0 411")


async def test_unknown_model_is_404_with_a_string(mlx_lm_server: MlxServer) -> None:
    head, body = await chat(mlx_lm_server, model="nobody/nothing")

    assert head.startswith(b"HTTP/1.0 404")
    assert isinstance(json.loads(body)["error"], str)


async def test_unknown_path_is_plain_text_called_json(http: aiohttp.ClientSession) -> None:
    for path in ("/v1/embeddings", "/tokenize"):
        async with http.post(path, json={"input": "a"}) as response:
            assert (response.status, await response.read()) == (404, b"Not Found")
            assert response.content_type == "application/json"


async def test_listed_models_have_no_owner(mlx_lm_server: MlxServer, http: aiohttp.ClientSession) -> None:
    async with http.get("/v1/models") as response:
        rows = (await response.json())["data"]

    assert [row["id"] for row in rows] == [str(mlx_lm_server.model.resolve())]
    assert "owned_by" not in rows[0]


async def test_logprobs_have_no_token_text(mlx_lm_server: MlxServer) -> None:
    _, body = await chat(mlx_lm_server, logprobs=True)

    rows = json.loads(body)["choices"][0]["logprobs"]["content"]
    assert [sorted(row) for row in rows] == [["id", "logprob"]] * 3


async def test_several_choices_are_silently_one(mlx_lm_server: MlxServer) -> None:
    _, body = await chat(mlx_lm_server, n=3)

    assert len(json.loads(body)["choices"]) == 1
