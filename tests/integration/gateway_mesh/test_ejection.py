"""Who fails gets nothing more: at once when the connection broke, after five faults otherwise."""

from __future__ import annotations

import asyncio
import socket

import pytest
from nexus_gateway.metering import RETRIES
from nexus_mesh.errors import MeshError, Reason
from support.gateway_bench import GatewayBench, chat
from support.tcp_proxy import TcpProxy
from support.waiting import eventually


def retried(reason: str) -> float:
    """Attempts on a further candidate so far, by why the one before failed."""
    return RETRIES.labels(reason)._value.get()


async def test_after_the_first_failed_connection_nothing_more_is_sent_there(bench: GatewayBench) -> None:
    dead, good = await bench.adapter("dead"), await bench.adapter("good")
    async with TcpProxy(dead.address) as wire:
        await bench.start(dead.target(address=wire.endpoint), good.target())
        for _ in range(4):
            await bench.ask()
        assert len(dead.seen) == 2
        wire.cut()
        before = retried("backend_down")
        for _ in range(40):
            assert (await bench.ask()).served.backend == "good"
        assert retried("backend_down") - before == 1
        assert len(dead.seen) == 2
        wire.join()
        await eventually(
            lambda: not bench.pipeline.traffic.reachability.unreachable, what="the instance to be back"
        )
        for _ in range(4):
            await bench.ask()
        assert len(dead.seen) == 4


async def test_a_lost_instance_takes_all_its_backends_along(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    async with TcpProxy(box.address) as wire:
        first, second = box.target("m", address=wire.endpoint), box.target("other", address=wire.endpoint)
        second.id, second.backend = f"{first.instance}#second", "second"
        await bench.start(first, second)
        await bench.ask()
        wire.cut()
        with pytest.raises(MeshError):
            await bench.ask()
        with pytest.raises(MeshError) as caught:
            await bench.ask(model="other")
        assert caught.value.reason is Reason.BACKEND_DOWN
        assert "the connection to n1/adapter/box is lost" in caught.value.message
        assert len(box.seen) == 1


async def test_connection_lost_before_content_moves_the_stream(bench: GatewayBench) -> None:
    dying, good = await bench.adapter("dying"), await bench.adapter("good")
    dying.mode = "silent"
    async with TcpProxy(dying.address) as wire:
        await bench.start(dying.target(address=wire.endpoint, priority=1), good.target())
        asking = asyncio.create_task(bench.ask_stream())
        await eventually(lambda: dying.active == 1, what="the request to arrive")
        wire.cut()
        assert await asking == "one two three"


async def test_connection_lost_after_content_breaks_the_stream(bench: GatewayBench) -> None:
    dying, good = await bench.adapter("dying"), await bench.adapter("good")
    dying.mode = "stall"
    async with TcpProxy(dying.address) as wire:
        await bench.start(dying.target(address=wire.endpoint, priority=1), good.target())
        async with bench.pipeline.stream(chat(stream=True)) as messages:
            await anext(messages)
            wire.cut()
            with pytest.raises(MeshError) as caught:
                await anext(messages)
        assert caught.value.reason is Reason.BACKEND_LOST
        assert good.seen == []
        assert await bench.ask_stream() == "one two three"
        assert len(dying.seen) == 1


async def test_address_nobody_listens_at_costs_one_attempt(bench: GatewayBench) -> None:
    gone, good = await bench.adapter("gone"), await bench.adapter("good")
    await gone.server.drain(settle=0, grace=0)
    await bench.start(gone.target(priority=1), good.target())
    before = retried("backend_down")
    for _ in range(10):
        await bench.ask()
    assert (retried("backend_down") - before, len(good.seen)) == (1, 10)


@pytest.mark.parametrize("stream", [False, True])
async def test_address_that_never_answers_costs_the_connect_limit(bench: GatewayBench, stream: bool) -> None:
    silent, good = await bench.adapter("silent"), await bench.adapter("good")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        await bench.start(
            silent.target(address=address, priority=1), good.target(), timeouts={"connect": 0.2}
        )
        async with asyncio.timeout(1.5):
            await (bench.ask_stream() if stream else bench.ask())
        assert len(good.seen) == 1
        assert list(bench.pipeline.traffic.reachability.unreachable) == [
            (address, silent.identity.spiffe.server_name)
        ]


async def test_wrong_identity_at_the_address_gets_no_request(bench: GatewayBench) -> None:
    right, imposter = await bench.adapter("right"), await bench.adapter("imposter")
    await bench.start(right.target(address=imposter.address))
    with pytest.raises(MeshError) as caught:
        await bench.ask()
    assert caught.value.reason is Reason.BACKEND_DOWN
    assert imposter.seen == []


async def test_five_faults_in_a_row_eject_a_backend_and_refusals_do_not(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    box.mode, box.reason = "fail", Reason.INVALID_REQUEST
    await bench.start(box.target())
    for _ in range(8):
        with pytest.raises(MeshError):
            await bench.ask()
    assert len(box.seen) == 8
    box.reason = Reason.UPSTREAM_ERROR
    for _ in range(8):
        with pytest.raises(MeshError):
            await bench.ask()
    assert len(box.seen) == 8 + 5
    with pytest.raises(MeshError) as caught:
        await bench.ask()
    assert "failed 5 times lately" in caught.value.message


async def test_new_address_of_an_instance_is_tried_at_once(bench: GatewayBench) -> None:
    box = await bench.adapter("box")
    async with TcpProxy(box.address) as wire:
        await bench.start(box.target(address=wire.endpoint))
        wire.cut()
        with pytest.raises(MeshError):
            await bench.ask()
        bench.control.router.show(box.target())
        await eventually(
            lambda: not bench.pipeline.traffic.reachability.unreachable,
            what="the old address to be forgotten",
        )
        assert (await bench.ask()).served.backend == "box"
