"""What one client can take from the others: nothing. The same as `make noisy`, without the clock."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from nexus_gateway.access import Principal
from nexus_gateway.http.options import EdgeOptions, Limits
from nexus_gateway.http.strangers import AT_ONCE
from prometheus_client import REGISTRY
from support.edge_pipeline import HANG
from support.edge_server import Edge, running_edge
from support.raw_http import RawConnection, ask, assert_envelope, assert_serves, chat, request
from support.waiting import eventually

pytestmark = pytest.mark.security
GOOD = chat()
MIB = 1024 * 1024
CALM, NOISY = "Authorization: Bearer calm", "Authorization: Bearer noisy"


def of_tenant(name: str) -> Principal:
    return Principal(name, name, tenant=name)


def bytes_under_way() -> float:
    return REGISTRY.get_sample_value("nexus_gateway_http_body_bytes") or 0.0


def large(size: int, who: str = NOISY, **fields: Any) -> bytes:
    frame = len(chat(messages=[{"role": "user", "content": ""}], **fields))
    body = chat(messages=[{"role": "user", "content": "x" * (size - frame)}], **fields)
    return request(body=body, headers=[who])


def small_budget(wait: float = 0.0) -> EdgeOptions:
    return EdgeOptions(limits=Limits(bodies_bytes=8 * MIB, body_wait_seconds=wait))


async def test_bodies_over_a_tenants_share_are_refused_unread_and_others_are_served() -> None:
    """A5: 8 bodies at once."""
    async with running_edge(small_budget()) as edge, AsyncExitStack() as stack:
        edge.pipeline.principal = of_tenant
        edge.pipeline.hang = True
        noisy = [await stack.enter_async_context(RawConnection(edge.port)) for _ in range(8)]
        for connection in noisy[:4]:
            connection.send(large(MIB))
        await eventually(lambda: edge.pipeline.running == 4, what="the share being taken")
        assert bytes_under_way() == 4 * MIB
        for connection in noisy[4:]:
            connection.send(large(MIB)[: 64 * 1024])
        for connection in noisy[4:]:
            answer = await connection.answer()
            assert_envelope(answer, 429, "rate_limit_exceeded")
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["x-should-retry"] == "true"
        edge.pipeline.hang = False
        assert (await ask(edge.port, large(MIB, CALM))).status == 200
        assert edge.pipeline.running == 4
        await stack.aclose()
        await eventually(lambda: edge.pipeline.running == 0 and bytes_under_way() == 0, what="all given back")


async def test_a_chunked_body_is_accounted_for_as_it_comes() -> None:
    """A5: it tells no length before."""
    async with running_edge(small_budget()) as edge, RawConnection(edge.port) as connection:
        head = request(headers=["Content-Type: application/json", "Transfer-Encoding: chunked"])
        connection.send(head + b"%x\r\n%s\r\n" % (MIB, b" " * MIB) * 6)
        assert_envelope(await connection.answer(), 429, "rate_limit_exceeded")
        assert not edge.pipeline.requests
        await assert_serves(edge.port)


async def test_a_body_waits_a_moment_for_room() -> None:
    """A5: it is read once another's request has ended, and nobody had to come again."""
    async with running_edge(small_budget(wait=60)) as edge, AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(RawConnection(edge.port)) for _ in range(2)]
        edge.pipeline.hang = True
        one.send(large(4 * MIB))
        await eventually(lambda: edge.pipeline.running == 1, what="the first at work")
        edge.pipeline.hang = False
        two.send(large(MIB))
        await asyncio.sleep(0.1)
        assert len(edge.pipeline.requests) == 1
        one.writer.transport.abort()
        assert (await two.answer()).status == 200


@pytest.mark.parametrize("ending", ["whole", "streamed", "failed", "refused", "left", "cut"])
async def test_bytes_are_given_back_however_a_request_ends(ending: str) -> None:
    """A5."""
    async with running_edge(small_budget()) as edge, RawConnection(edge.port) as connection:
        if ending == "failed":
            edge.pipeline.failure = RuntimeError("nobody thought of it")
        edge.pipeline.hang = ending == "left"
        edge.pipeline.steps = [HANG] if ending == "cut" else edge.pipeline.steps
        connection.send(large(MIB, stream=ending in ("streamed", "cut"), n=0 if ending == "refused" else 1))
        if ending in ("left", "cut"):
            await eventually(lambda: edge.pipeline.running == 1, what="it at work")
            assert bytes_under_way() == MIB
            connection.writer.transport.abort()
        else:
            await connection.answer()
        await eventually(lambda: bytes_under_way() == 0, what="all given back")


async def test_nothing_large_is_sent_ahead() -> None:
    """A5: nobody has asked for it yet, nor whose it is."""
    async with running_edge() as edge, RawConnection(edge.port) as connection:
        edge.pipeline.steps = [0.3, *edge.pipeline.steps]
        connection.send(request(body=chat(stream=True)))
        await eventually(lambda: edge.pipeline.running == 1, what="the first at work")
        connection.send(large(MIB))
        assert (await connection.answer()).status == 200
        assert_envelope(await connection.answer(), 400, "bad_request")
        assert len(edge.pipeline.requests) == 1


@pytest.fixture
def many_files() -> Iterator[None]:
    """Both ends of every connection are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 10_000:
        pytest.skip("this process may not open enough files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 10_000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_thousands_of_idle_connections_keep_nobody_out(many_files: None) -> None:
    """A9: 4,200 from one address, with and without a wrong key shown."""
    async with running_edge() as edge, AsyncExitStack() as stack:
        edge.pipeline.keys = {"calm"}
        wrong = request("GET", "/v1/models", headers=["Authorization: Bearer wrong"])
        for number in range(4200):
            connection = await stack.enter_async_context(RawConnection(edge.port))
            if number % 3 == 0:
                connection.send(wrong)
            elif number % 3 == 1:
                connection.send(wrong[:40])
        for _ in range(20):
            assert (await ask(edge.port, request(body=GOOD, headers=[CALM]))).status == 200
        assert edge.server.connections <= Limits().connections


async def test_requests_under_way_are_not_cut_for_new_connections() -> None:
    """A9: only who is idle makes room; without any the new one is told so."""
    async with running_edge(EdgeOptions(limits=Limits(connections=3))) as edge, AsyncExitStack() as stack:
        edge.pipeline.hang = True
        busy = [await stack.enter_async_context(RawConnection(edge.port)) for _ in range(2)]
        for connection in busy:
            connection.send(request(body=GOOD))
        await eventually(lambda: edge.pipeline.running == 2, what="both at work")
        idle = await stack.enter_async_context(RawConnection(edge.port))
        idle.send(request("GET", "/healthz"))
        assert (await idle.answer()).status == 200
        third = await stack.enter_async_context(RawConnection(edge.port))
        third.send(request(body=GOOD))
        await eventually(lambda: edge.pipeline.running == 3, what="the third at work")
        assert await idle.closed()
        async with RawConnection(edge.port) as fourth:
            assert_envelope(await fourth.answer(), 503, "overloaded")
        assert edge.pipeline.running == 3
        assert edge.pipeline.cancelled == 0


async def test_who_shows_no_good_key_keeps_no_connection() -> None:
    """A9: the answer is read whole, however much was still to come."""
    async with running_edge() as edge:
        edge.pipeline.keys = {"calm"}
        for data in (request(body=GOOD), large(4 * MIB), large(4 * MIB)[:100_000]):
            async with RawConnection(edge.port) as connection:
                connection.send(data)
                answer = await connection.answer()
                assert_envelope(answer, 401, "invalid_api_key")
                assert answer.headers["connection"] == "close"
                assert await connection.closed()
        async with RawConnection(edge.port) as connection:
            for _ in range(2):
                connection.send(request(body=GOOD, headers=[CALM]))
                assert (await connection.answer()).status == 200


async def test_a_storm_of_wrong_keys_is_slowed_down_and_good_ones_pass() -> None:
    """A17."""
    async with running_edge() as edge:
        edge.pipeline.keys = {"calm"}
        statuses = [await _status(edge, "Authorization: Bearer wrong") for _ in range(int(AT_ONCE) + 20)]
        assert statuses[:10] == [401] * 10
        assert statuses[-1] == 429
        assert await _status(edge, CALM) == 200
        answer = await ask(edge.port, request("GET", "/v1/models", headers=["Authorization: Bearer wrong"]))
        assert_envelope(answer, 429, "rate_limit_exceeded")
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["connection"] == "close"


async def _status(edge: Edge, key: str) -> int:
    return (await ask(edge.port, request("GET", "/v1/models", headers=[key]))).status
