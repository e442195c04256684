"""Clients that dawdle: every wait for a client has an end."""

from __future__ import annotations

import pytest
from nexus_gateway.http.options import EdgeOptions, Limits
from support.edge_pipeline import HANG, chunks, delta
from support.edge_server import running_edge
from support.raw_http import RawConnection, assert_envelope, assert_serves, chat, request
from support.waiting import eventually

SHORT = EdgeOptions(
    limits=Limits(head_seconds=0.2, body_seconds=0.2, keep_alive_seconds=0.3, stalled_client_seconds=0.3)
)


async def test_a_silent_connection_is_closed() -> None:
    async with running_edge(SHORT) as edge, RawConnection(edge.port) as connection:
        assert await connection.closed()


async def test_headers_that_trickle_get_408() -> None:
    async with running_edge(SHORT) as edge, RawConnection(edge.port) as connection:
        connection.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nA: ")
        answer = await connection.answer()
        assert_envelope(answer, 408, "request_timeout")
        assert answer.headers["x-should-retry"] == "true"
        assert await connection.closed()


async def test_a_body_that_trickles_gets_408() -> None:
    async with running_edge(SHORT) as edge, RawConnection(edge.port) as connection:
        connection.send(request(body=chat() + b" " * 100)[:-50])
        assert_envelope(await connection.answer(), 408, "request_timeout")
        assert await connection.closed()
        assert not edge.pipeline.requests
        await assert_serves(edge.port)


@pytest.mark.parametrize("before", [True, False], ids=["kept", "passed on"])
async def test_a_file_that_stops_coming_gets_408(before: bool) -> None:
    """B-82: whatever of it is kept meanwhile goes."""
    model = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n'
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + bytes(10_000)
    head = b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 99999999\r\n"
    form = file if before else model + file
    async with running_edge(SHORT) as edge, RawConnection(edge.port) as connection:
        edge.pipeline.steps, usual = [HANG], edge.pipeline.steps
        connection.send(
            b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n" + form
        )
        assert_envelope(await connection.answer(), 408, "request_timeout")
        assert await connection.closed()
        await eventually(lambda: edge.pipeline.running == 0, what="the end of it")
        edge.pipeline.steps = usual
        await assert_serves(edge.port)


async def test_an_idle_connection_is_closed_after_its_answer() -> None:
    async with running_edge(SHORT) as edge, RawConnection(edge.port) as connection:
        connection.send(request(body=chat()))
        assert (await connection.answer()).status == 200
        assert await connection.closed()


async def test_a_request_being_served_has_no_receive_deadline() -> None:
    async with running_edge(SHORT) as edge, RawConnection(edge.port) as connection:
        edge.pipeline.steps = [0.8, *edge.pipeline.steps]
        connection.send(request(body=chat(stream=True)))
        answer = await connection.answer()
        assert answer.complete
        assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_a_client_that_does_not_read_is_cut() -> None:
    async with running_edge(SHORT) as edge, RawConnection(edge.port) as connection:
        edge.pipeline.steps = [chunks(delta(content="x" * 100_000))] * 1000
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        connection.send(request(body=chat(stream=True)))
        await eventually(lambda: edge.pipeline.cancelled == 1, timeout=10, what="the cut")
        assert edge.pipeline.running == 0
