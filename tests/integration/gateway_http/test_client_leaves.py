"""Clients that leave, streams that are silent, and an edge that shuts down."""

from __future__ import annotations

import asyncio

import pytest
from nexus.inference.v1 import inference_pb2
from nexus_gateway.http.options import EdgeOptions
from support.edge_pipeline import HANG, chunks, delta, text_steps
from support.edge_server import running_edge
from support.raw_http import RawConnection, assert_envelope, chat, request
from support.waiting import eventually


@pytest.mark.parametrize("stream", [False, True])
async def test_work_ends_when_the_client_leaves_before_the_answer(stream: bool) -> None:
    async with running_edge() as edge:
        edge.pipeline.hang = True
        async with RawConnection(edge.port) as connection:
            connection.send(request(body=chat(stream=stream)))
            await eventually(lambda: edge.pipeline.running == 1)
        await eventually(lambda: edge.pipeline.cancelled == 1, timeout=0.5, what="the cancellation")
        assert edge.pipeline.running == 0


async def test_work_ends_when_the_client_leaves_a_stream() -> None:
    async with running_edge() as edge:
        edge.pipeline.steps = [chunks(delta(content="a")), HANG]
        async with RawConnection(edge.port) as connection:
            connection.send(request(body=chat(stream=True)))
            await connection.reader.readuntil(b'"a"')
        await eventually(lambda: edge.pipeline.cancelled == 1, timeout=0.5, what="the cancellation")


async def test_the_official_client_leaving_a_stream_ends_the_work() -> None:
    async with running_edge() as edge, edge.client() as client:
        edge.pipeline.steps = [chunks(delta(content="a")), HANG]
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        await anext(aiter(stream))
        await stream.close()
        await eventually(lambda: edge.pipeline.cancelled == 1, timeout=0.5, what="the cancellation")


async def test_pipelined_requests_of_a_client_that_left_are_dropped() -> None:
    async with running_edge() as edge:
        edge.pipeline.hang = True
        async with RawConnection(edge.port) as connection:
            connection.send(request(body=chat()))
            await eventually(lambda: edge.pipeline.running == 1)
            connection.send(request("GET", "/healthz"))
        await eventually(lambda: edge.pipeline.running == 0, timeout=5, what="the cancellation")
        assert len(edge.pipeline.requests) == 1


async def test_work_ends_when_the_client_of_a_large_request_leaves() -> None:
    async with running_edge() as edge:
        edge.pipeline.hang = True
        async with RawConnection(edge.port) as connection:
            data = request(body=chat(user="x", extra="y" * 3_000_000))
            for start in range(0, len(data), 300_000):
                connection.send(data[start : start + 300_000])
                await connection.writer.drain()
            await eventually(lambda: edge.pipeline.running == 1)
        await eventually(lambda: edge.pipeline.cancelled == 1, timeout=0.5, what="the cancellation")


async def test_requests_sent_far_ahead_are_refused_after_those_before() -> None:
    async with running_edge() as edge, RawConnection(edge.port) as connection:
        connection.send(request("GET", "/healthz") * 30)
        statuses = [(await connection.answer()).status]
        while statuses[-1] == 200:
            statuses.append((await connection.answer()).status)
        assert statuses[-1] == 400
        assert len(statuses) < 30
        assert await connection.closed()


async def test_a_silent_stream_is_kept_open_by_comments() -> None:
    options = EdgeOptions(keep_alive_comment_seconds=0.05)
    async with running_edge(options) as edge, RawConnection(edge.port) as connection:
        edge.pipeline.steps = [chunks(delta(content="a")), 0.3, *text_steps("b")]
        connection.send(request(body=chat(stream=True)))
        answer = await connection.answer()
        before, after = answer.body.split(b'"b"')
        assert before.count(b": keep-alive\n\n") >= 3
        assert after.endswith(b"data: [DONE]\n\n")
        assert b": keep-alive\n\n" not in before.split(b'"a"')[0]


async def test_a_stream_committed_without_content_sends_its_head_at_once() -> None:
    options = EdgeOptions(keep_alive_comment_seconds=0.05)
    waiting = inference_pb2.StreamResponse(progress=inference_pb2.Progress(phase="waiting"))
    async with running_edge(options) as edge, RawConnection(edge.port) as connection:
        edge.pipeline.steps = [waiting, HANG]
        connection.send(request(body=chat(stream=True)))
        head = await connection.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert await connection.reader.readuntil(b": keep-alive\n\n")


async def test_shutdown_lets_requests_finish() -> None:
    async with running_edge() as edge, RawConnection(edge.port) as connection:
        edge.pipeline.steps = [chunks(delta(content="a")), 0.3, *text_steps("b")]
        connection.send(request(body=chat(stream=True)))
        await eventually(lambda: edge.pipeline.running == 1)
        closing = asyncio.create_task(edge.server.close(grace=10))
        answer = await connection.answer()
        assert answer.complete
        assert answer.body.endswith(b"data: [DONE]\n\n")
        await closing
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", edge.port)


async def test_shutdown_tells_the_streams_it_cuts() -> None:
    async with (
        running_edge() as edge,
        RawConnection(edge.port) as connection,
        RawConnection(edge.port) as other,
    ):
        edge.pipeline.steps = [chunks(delta(content="a")), HANG]
        connection.send(request(body=chat(stream=True)))
        await connection.reader.readuntil(b'"a"')
        edge.pipeline.hang = True
        other.send(request(body=chat()))
        await eventually(lambda: edge.pipeline.running == 2)
        closing = asyncio.create_task(edge.server.close(grace=0))
        async with asyncio.timeout(10):
            rest = await connection.reader.read()
        assert b'"code":"server_shutting_down"' in rest
        assert rest.endswith(b"0\r\n\r\n")
        assert b"[DONE]" not in rest
        assert_envelope(await other.answer(), 503, "server_shutting_down")
        await closing
        assert edge.pipeline.running == 0
