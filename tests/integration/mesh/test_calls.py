"""Server and client of the mesh together, over real mutual TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.core.telemetry import set_request_id
from support.ca import MeshCA
from support.echo_service import WAYS, Way, complete, echo, peer_of, stream
from support.waiting import eventually


@pytest.fixture
def ca() -> MeshCA:
    return MeshCA()


@pytest.fixture(params=WAYS.values(), ids=list(WAYS))
def way(request: pytest.FixtureRequest) -> Way:
    way: Way = request.param
    return way


async def test_an_error_arrives_whole(ca: MeshCA, way: Way) -> None:
    async with echo(ca) as (server, _), peer_of(ca, server) as peer:
        with pytest.raises(MeshError) as raised:
            await peer.unary(way.complete, complete("fail"), timeout=5)
    error = raised.value
    assert (error.reason, error.message, error.metadata, error.retry_after) == (
        Reason.OVERLOAD,
        "All places are taken.",
        {"a": "b"},
        2.0,
    )


async def test_the_text_of_an_exception_reaches_no_caller(ca: MeshCA, way: Way) -> None:
    async with echo(ca) as (server, _), peer_of(ca, server) as peer:
        with pytest.raises(MeshError) as raised:
            await peer.unary(way.complete, complete("crash"), timeout=5)
    assert raised.value.reason is Reason.INTERNAL
    assert "secret" not in repr(raised.value)
    assert raised.value.metadata["incident"] in raised.value.message


async def test_the_request_id_travels(ca: MeshCA, way: Way) -> None:
    set_request_id("req_travels")
    async with echo(ca) as (server, _), peer_of(ca, server) as peer:
        assert (await peer.unary(way.complete, complete("id"), timeout=5)).body == "req_travels"


async def test_the_deadline_travels(ca: MeshCA, way: Way) -> None:
    async with echo(ca) as (server, _), peer_of(ca, server) as peer:
        left = float((await peer.unary(way.complete, complete("deadline"), timeout=7)).body)
        assert 0 < left <= 7
        with pytest.raises(MeshError) as raised:
            await peer.unary(way.complete, complete("hang"), timeout=0.2)
    assert raised.value.reason is Reason.TIMEOUT


async def test_cancelling_a_call_cancels_its_handler(ca: MeshCA, way: Way) -> None:
    async with echo(ca) as (server, servicer), peer_of(ca, server) as peer:
        task = asyncio.ensure_future(peer.unary(way.complete, complete("hang"), timeout=60))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: servicer.cancelled == 1)


async def test_leaving_a_stream_cancels_its_handler(ca: MeshCA, way: Way) -> None:
    async with echo(ca) as (server, servicer), peer_of(ca, server) as peer:
        async with peer.stream(way.stream, stream("hang", "1"), timeout=60) as call:
            assert (await anext(aiter(call))).chunks.json == ["0"]
            await asyncio.sleep(0.1)  # the handler has nothing more to send by then
        await eventually(lambda: servicer.cancelled == 1)


async def test_nobody_there_is_a_transport_failure(ca: MeshCA, way: Way) -> None:
    async with echo(ca) as (server, _):
        pass
    async with peer_of(ca, server) as peer:
        with pytest.raises(MeshError) as raised:
            await peer.unary(way.complete, complete(), timeout=5)
    assert raised.value.reason is Reason.BACKEND_DOWN
    assert raised.value.metadata["transport"] == "1"


async def test_a_renewed_certificate_fails_no_call_and_cuts_no_stream(ca: MeshCA, way: Way) -> None:
    client, own = ca.identity("gateway"), ca.identity("adapter")
    async with echo(ca, identity=own) as (server, _), peer_of(ca, server, client) as peer:

        async def calls() -> int:
            for _ in range(300):
                await peer.unary(way.complete, complete(), timeout=5)
            return 300

        async def count() -> int:
            async with peer.stream(way.stream, stream(body="150"), timeout=60) as call:
                return sum([1 async for _ in call])

        running = asyncio.gather(calls(), *(count() for _ in range(5)))
        for _ in range(5):
            await asyncio.sleep(0.2)
            client.replace(ca.material(client.spiffe))
            own.replace(ca.material(own.spiffe))
        assert await running == [300, 151, 151, 151, 151, 151]


async def test_a_stream_ended_from_outside_in_the_middle_of_a_message_tells_its_caller(
    ca: MeshCA, way: Way
) -> None:
    verdict = MeshError(Reason.MESH_IDENTITY, "This identity has been withdrawn.")
    async with echo(ca) as (server, _), peer_of(ca, server) as peer:
        for _ in range(20):
            async with peer.stream(way.stream, stream(body="100000"), timeout=30) as call:
                received = aiter(call)
                await anext(received)
                assert server.streams.end(lambda call: call.method == way.stream.path, verdict) == 1
                with pytest.raises(MeshError) as raised:
                    await asyncio.wait_for(_drain(received), 5)
                assert raised.value.reason is Reason.MESH_IDENTITY


async def _drain(messages: AsyncIterator[object]) -> None:
    async for _ in messages:
        pass


async def test_draining_lets_running_streams_finish_and_takes_nothing_new(ca: MeshCA, way: Way) -> None:
    async with echo(ca) as (server, _), peer_of(ca, server) as peer:

        async def count() -> int:
            async with peer.stream(way.stream, stream(body="40"), timeout=60) as call:
                return sum([1 async for _ in call])

        running = asyncio.ensure_future(count())
        await asyncio.sleep(0.1)
        await server.drain(settle=0, grace=10)
        assert await running == 41
        with pytest.raises(MeshError) as raised:
            await peer.unary(way.complete, complete(), timeout=2)
        assert raised.value.reason is Reason.BACKEND_DOWN


async def test_a_taken_port_is_said_at_once(ca: MeshCA) -> None:
    async with echo(ca) as (server, _):
        with pytest.raises(OSError, match="taken"):
            async with echo(ca, port=server.port):
                pass
