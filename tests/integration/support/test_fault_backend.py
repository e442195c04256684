"""The backend of the failover exam: well-behaved as a server can be, until it is told how to fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from support.e2e_mesh import read_sse
from support.fault_backend import (
    TOKENS,
    FaultBackend,
    answer_to,
    cut,
    in_band,
    only_questions,
    prompt_tokens,
    refuse,
    reset,
    silent,
)
from support.waiting import eventually

ASK: list[dict[str, Any]] = [{"role": "user", "content": "how are you"}]
BEGUN = [*ASK, {"role": "assistant", "content": "I am"}]
USAGE = {"stream_options": {"include_usage": True}}


@pytest.fixture
async def backend() -> AsyncIterator[FaultBackend]:
    async with FaultBackend(["m"]) as started:
        yield started


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def chat(session: aiohttp.ClientSession, backend: FaultBackend, **fields: Any) -> Any:
    url = f"{backend.url}/v1/chat/completions"
    return session.post(url, json={"model": "m", "messages": ASK, **fields})


async def read(session: aiohttp.ClientSession, backend: FaultBackend, **fields: Any) -> tuple[int, bytes]:
    async with chat(session, backend, **fields) as answer:
        return answer.status, await answer.read()


async def test_it_lists_its_models_and_has_nothing_to_be_told_apart_by(
    session: aiohttp.ClientSession, backend: FaultBackend
) -> None:
    async with session.get(f"{backend.url}/v1/models") as answer:
        assert [row["id"] for row in (await answer.json())["data"]] == ["m"]
    for path in ("/props", "/version", "/health", "/api/tags", "/tokenize"):
        async with session.get(backend.url + path) as answer:
            assert answer.status == 404


async def test_whole_answers_and_streams_say_the_same(
    session: aiohttp.ClientSession, backend: FaultBackend
) -> None:
    text = "".join(answer_to(ASK))
    status, body = await read(session, backend)
    whole = json.loads(body)
    assert (status, whole["choices"][0]["message"]["content"]) == (200, text)
    _, body = await read(session, backend, stream=True, **USAGE)
    stream = read_sse(body)
    assert (stream.text(), stream.finishes, stream.done) == (text, {0: ["stop"]}, True)
    counted = {"prompt_tokens": prompt_tokens(ASK), "completion_tokens": TOKENS, "total_tokens": TOKENS + 3}
    assert whole["usage"] == stream.chunks[-1]["usage"] == counted


async def test_usage_is_streamed_only_when_asked_for(
    session: aiohttp.ClientSession, backend: FaultBackend
) -> None:
    stream = read_sse((await read(session, backend, stream=True))[1])
    assert not any("usage" in chunk for chunk in stream.chunks)


async def test_the_beginning_of_an_answer_is_only_more_of_a_prompt(
    session: aiohttp.ClientSession, backend: FaultBackend
) -> None:
    _, body = await read(session, backend, messages=BEGUN)
    said = json.loads(body)["choices"][0]["message"]["content"]
    assert said == "".join(answer_to(BEGUN)) != "".join(answer_to(ASK))
    backend.manner = only_questions()
    assert (await read(session, backend, messages=BEGUN))[0] == 400
    assert (await read(session, backend))[0] == 200


async def test_a_fault_meets_so_many_requests(session: aiohttp.ClientSession, backend: FaultBackend) -> None:
    backend.arm(refuse(500), times=2)
    assert [(await read(session, backend))[0] for _ in range(3)] == [500, 500, 200]
    backend.arm(refuse(429, headers={"Retry-After": "7"}))
    async with chat(session, backend) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    backend.disarm()
    assert (await read(session, backend))[0] == 200
    assert backend.calls["m"] == 5


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cut_answer_breaks_its_framing_and_a_clean_one_does_not(
    session: aiohttp.ClientSession, backend: FaultBackend, stream: bool
) -> None:
    backend.arm(cut("reset"))
    with pytest.raises(aiohttp.ClientError):
        await read(session, backend, stream=stream)
    backend.arm(cut("clean"))
    status, body = await read(session, backend, stream=stream)
    assert status == 200
    assert b"[DONE]" not in body
    assert not stream or read_sse(body).finishes == {0: []}


async def test_an_error_in_a_stream_is_followed_by_an_end_that_looks_well(
    session: aiohttp.ClientSession, backend: FaultBackend
) -> None:
    backend.arm(in_band())
    _, body = await read(session, backend, stream=True)
    assert b'data: {"error"' in body
    assert body.endswith(b"data: [DONE]\n\n")


async def test_a_reset_comes_before_any_answer(session: aiohttp.ClientSession, backend: FaultBackend) -> None:
    backend.arm(reset)
    with pytest.raises(aiohttp.ClientOSError):
        await read(session, backend)


async def test_nothing_goes_on_for_a_client_that_left(
    session: aiohttp.ClientSession, backend: FaultBackend
) -> None:
    backend.arm(silent)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await read(session, backend)
    await eventually(lambda: not backend.connections, what="the end of the answer")


async def test_it_comes_back_at_its_own_address(
    session: aiohttp.ClientSession, backend: FaultBackend
) -> None:
    url = backend.url
    backend.arm(silent)
    asking = asyncio.create_task(read(session, backend))
    await eventually(lambda: backend.calls["m"] == 1)
    await backend.down()
    with pytest.raises(aiohttp.ClientError):
        await asking
    with pytest.raises(aiohttp.ClientConnectorError):
        await read(session, backend)
    await backend.up()
    backend.disarm()
    assert backend.url == url
    assert (await read(session, backend))[0] == 200
