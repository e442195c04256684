"""A11: what a backend sends without end or in masses costs its own request, and nobody else anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from nexus_inference_adapters.contract.http import connector
from nexus_mesh.core.errors import MeshError, Reason
from support.adapter_host import HELLO, Bench, adapter_bench
from support.raw_backend import RawBackend

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
GOOD = b'data: {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
TIMES = 300_000


@pytest.fixture
async def bounded() -> AsyncIterator[Bench]:
    """A bench on which only the time in all is short: a flood is no silence."""
    async with adapter_bench(connect=5.0, first_token=60.0, stall=60.0, total=2.0) as bench:
        yield bench


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def interim_at_once() -> AsyncIterator[bytes]:
    for _ in range(TIMES // 1000):
        yield INTERIM * 1000


async def interim_one_by_one() -> AsyncIterator[bytes]:
    while True:
        yield INTERIM
        await asyncio.sleep(0)


async def headers() -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        yield b"".join(b"X-%d: 1\r\n" % number for number in range(1000))


async def long_header() -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nX: "
    while True:
        yield b"x" * 65536


async def comments() -> AsyncIterator[bytes]:
    yield STREAM
    while True:
        yield chunk(b": x\n" * 10_000)
        await asyncio.sleep(0)


async def endless_line() -> AsyncIterator[bytes]:
    yield STREAM
    while True:
        yield chunk(b"data: " + b"x" * 65536)


async def empty_events() -> AsyncIterator[bytes]:
    yield STREAM
    while True:
        yield chunk(b'data: {"choices": []}\n\n' * 1000)
        await asyncio.sleep(0)


async def bytes_one_by_one() -> AsyncIterator[bytes]:
    yield STREAM + b"".join(chunk(GOOD[at : at + 1]) for at in range(len(GOOD))) + b"0\r\n\r\n"


@pytest.mark.security
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (interim_at_once, Reason.UPSTREAM_MALFORMED),
        (interim_one_by_one, Reason.UPSTREAM_MALFORMED),
        (headers, Reason.UPSTREAM_MALFORMED),
        (long_header, Reason.UPSTREAM_MALFORMED),
        (endless_line, Reason.UPSTREAM_MALFORMED),
        (comments, Reason.TIMEOUT),
        (empty_events, Reason.TIMEOUT),
    ],
)
async def test_a_flood_ends_its_own_request(
    bounded: Bench, script: object, reason: Reason, stream: bool
) -> None:
    """A11: it is broken off long before all of it was taken, and the connection with it."""
    async with RawBackend(script) as backend:  # type: ignore[arg-type]
        served = await bounded.serve("openai_compatible", backend.url)
        with pytest.raises(MeshError) as caught:
            await (bounded.stream if stream else bounded.complete)(served, HELLO)
        assert caught.value.reason is reason
        if script is interim_at_once:
            assert backend.written < len(INTERIM) * TIMES


@pytest.mark.security
async def test_a_flood_leaves_others_alone(bounded: Bench) -> None:
    """A11: the loop goes round while it comes: other work gets its turn again and again."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with RawBackend(comments) as backend:
        served = await bounded.serve("openai_compatible", backend.url)
        task = asyncio.ensure_future(others())
        with pytest.raises(MeshError):
            await bounded.stream(served, HELLO)
        task.cancel()
    assert turns > 20


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_in_single_bytes_is_an_answer(bench: Bench, stream: bool) -> None:
    """A11: small pieces are no fault."""
    async with RawBackend(bytes_one_by_one) as backend:
        served = await bench.serve("openai_compatible", backend.url)
        if stream:
            assert (await bench.stream(served, HELLO)).text() == "hi"
        else:
            assert (await bench.complete(served, HELLO))["choices"][0]["message"]["content"] == "hi"


async def test_a_few_interim_answers_are_none(bench: Bench) -> None:
    """A11: HTTP allows them."""

    async def script() -> AsyncIterator[bytes]:
        yield INTERIM * 5 + STREAM + chunk(GOOD) + b"0\r\n\r\n"

    async with RawBackend(script) as backend:
        served = await bench.serve("openai_compatible", backend.url)
        for _ in range(3):
            assert (await bench.stream(served, HELLO)).text() == "hi"


@pytest.mark.parametrize("pieces", range(30, 46, 2))
async def test_what_waited_for_a_slow_reader_still_comes(pieces: int) -> None:
    """What arrives faster than it is read is put aside; its end must not stay there.

    Whether it is the end depends on how the system cuts the whole: so several sizes.
    """

    async def script() -> AsyncIterator[bytes]:
        yield STREAM + chunk(b"x" * 16_000) * pieces + b"0\r\n\r\n"

    async with (
        RawBackend(script) as backend,
        aiohttp.ClientSession(connector=connector(1.0)) as session,
        session.post(f"{backend.url}/v1/chat/completions") as answer,
        asyncio.timeout(10),
    ):
        await asyncio.sleep(0.3)
        assert len(await answer.read()) == 16_000 * pieces
