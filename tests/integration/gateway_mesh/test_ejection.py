"""Who fails gets nothing more: at once when the connection broke, after five faults otherwise."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest
from nexus.registry.v1 import instance_pb2
from nexus_gateway.access.accounts import ANONYMOUS
from nexus_gateway.fleet import breaker, connections
from nexus_gateway.metering.metering import RETRIES
from nexus_mesh.core.errors import UNREACHED, MeshError, Reason
from support.gateway_bench import GatewayBench, chat
from support.tcp_proxy import TcpProxy
from support.waiting import eventually

DOWN = instance_pb2.STATE_UNHEALTHY


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
    box, good = await bench.adapter("box"), await bench.adapter("good")
    box.mode, box.reason = "fail", Reason.INVALID_REQUEST
    await bench.start(box.target(priority=1), good.target())
    for _ in range(8):
        with pytest.raises(MeshError):
            await bench.ask()
    assert len(box.seen) == 8
    box.reason = Reason.UPSTREAM_ERROR
    for _ in range(8):
        assert (await bench.ask()).served.backend == "good"
    assert len(box.seen) == 8 + 5


async def test_the_only_backend_of_a_model_is_never_ejected(bench: GatewayBench) -> None:
    """A10: it may fail; not to ask it fails for certain."""
    box = await bench.adapter("box")
    box.mode, box.reason = "fail", Reason.UPSTREAM_ERROR
    await bench.start(box.target())
    for _ in range(12):
        with pytest.raises(MeshError):
            await bench.ask()
    assert len(box.seen) == 12
    box.mode = "ok"
    assert (await bench.ask()).served.backend == "box"


async def test_a_connection_that_was_refused_is_not_tried_again_at_once(bench: GatewayBench) -> None:
    """B1: this speaks of the backend, for every model of it, the only one or not; and says when it is looked at."""
    box = await bench.adapter("box")
    box.mode, box.reason, box.metadata = "fail", Reason.BACKEND_DOWN, {UNREACHED: "1"}
    await bench.start(box.target("m", "n"))
    for model in "mnm":
        with pytest.raises(MeshError):
            await bench.ask(model=model)
    with pytest.raises(MeshError) as caught:
        await bench.ask(model="n")
    assert len(box.seen) == 1
    assert caught.value.reason is Reason.BACKEND_DOWN
    assert caught.value.retry_after is not None
    assert 1 <= caught.value.retry_after <= 1.2


async def test_a_model_that_fails_leaves_the_others_of_its_backend_alone(bench: GatewayBench) -> None:
    """B1: five and more failures of one, whoever else could serve the other."""
    multi, other = await bench.adapter("multi"), await bench.adapter("other")
    await bench.start(multi.target("bad", "good", priority=1), other.target("good", "bad"))
    multi.mode = "fail"
    for _ in range(6):
        assert (await bench.ask(model="bad")).served.backend == "other"
    multi.mode = "ok"
    assert (await bench.ask(model="good")).served.backend == "multi"
    assert (await bench.ask(model="bad")).served.backend == "other"


async def test_a_rate_limit_of_one_model_is_none_of_another(bench: GatewayBench) -> None:
    """B1: pauses too."""
    box = await bench.adapter("box")
    box.mode, box.reason, box.retry_after = "fail", Reason.RATE_LIMIT, 30.0
    await bench.start(box.target("m", "n"))
    for _ in range(2):
        with pytest.raises(MeshError):
            await bench.ask(model="m")
    assert len(box.seen) == 1
    box.mode = "ok"
    assert (await bench.ask(model="n")).served.backend == "box"


@pytest.mark.security
async def test_one_tenant_s_poison_is_held_against_nobody_else(bench: GatewayBench) -> None:
    """A10: prompts that make a backend fail cost their own tenant its turn there, and no other."""
    box, other = await bench.adapter("box"), await bench.adapter("other")
    await bench.start(box.target(priority=1), other.target())
    poisoner, honest = (replace(ANONYMOUS, tenant=name) for name in ("poisoner", "honest"))
    box.mode = other.mode = "fail"
    for _ in range(12):
        with pytest.raises(MeshError):
            await bench.ask(principal=poisoner)
    box.mode = other.mode = "ok"
    box.seen.clear()
    assert (await bench.ask(principal=honest)).served.attempts == 1
    assert len(box.seen) == 1


async def test_who_is_heard_of_again_is_asked_again_at_once(
    bench: GatewayBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B9: neither a look at its connection nor an ejection waits for its turn."""
    monkeypatch.setattr(connections, "FIRST_LOOK", 1000.0)
    monkeypatch.setattr(connections, "LONGEST_WAIT", 1000.0)
    monkeypatch.setattr(breaker, "GONE_PAUSE", 1000.0)
    monkeypatch.setattr(breaker, "LONGEST_GONE", 1000.0)
    box, other = await bench.adapter("box"), await bench.adapter("other")
    other.mode, other.reason, other.metadata = "fail", Reason.BACKEND_DOWN, {UNREACHED: "1"}
    async with TcpProxy(box.address) as wire:
        up = box.target("m", address=wire.endpoint), other.target("n")
        await bench.start(*up)
        wire.cut()
        for model in "mn":
            with pytest.raises(MeshError):
                await bench.ask(model=model)
        wire.join()
        other.mode = "ok"
        for model in "mn":
            with pytest.raises(MeshError):
                await bench.ask(model=model)
        before = bench.pipeline.table.snapshot
        down = box.target("m", address=wire.endpoint, state=DOWN), other.target("n", state=DOWN)
        bench.control.router.show(*down)
        await bench.until_newer(before)
        bench.control.router.show(*up)
        await eventually(lambda: not bench.pipeline.traffic.reachability.unreachable, what="box to be back")
        assert (await bench.ask(model="m")).served.backend == "box"
        assert (await bench.ask(model="n")).served.backend == "other"


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
