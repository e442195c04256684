"""Streams that wait for a place: before they begin, and no longer than their clients."""

from __future__ import annotations

import asyncio

from support.crowd import PATIENT, held_box, started, waiting
from support.gateway_bench import GatewayBench, chat, read_all
from support.scripted_adapter import text_of
from support.waiting import eventually


async def test_a_stream_waits_before_it_begins(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT)
    first = asyncio.create_task(bench.ask_stream())
    await started(box, 1)
    second = asyncio.create_task(bench.ask_stream())
    await eventually(lambda: waiting() == 1, what="the second to wait")
    box.let_go(2)
    assert await first == await second == "one two three"
    assert waiting() == 0


async def test_many_streams_at_once_do_not_all_take_the_same_place(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=2), queue=PATIENT)
    streams = [asyncio.create_task(bench.ask_stream()) for _ in range(10)]
    await eventually(lambda: waiting() == 8, what="all but two to wait")
    assert len(await started(box, 2)) == box.active == 2
    box.let_go(10)
    assert set(await asyncio.gather(*streams)) == {"one two three"}


async def test_a_stream_that_waits_long_is_handed_over_and_names_its_server_later(
    bench: GatewayBench,
) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT, commit_after=0.1)
    running = asyncio.create_task(bench.ask())
    await started(box, 1)
    async with bench.pipeline.stream(chat(stream=True)) as messages:
        first = await anext(messages)
        assert (first.progress.phase, first.served.backend) == ("waiting", "")
        assert waiting() == 1
        box.let_go(2)
        second = await anext(messages)
        assert second.served.backend == "box"
        assert text_of(second) + await read_all(messages) == "one two three"
    await running


async def test_a_stream_whose_client_leaves_waits_no_longer(bench: GatewayBench) -> None:
    box = await held_box(bench)
    await bench.start(box.target(capacity=1), queue=PATIENT, commit_after=0.1)
    running = asyncio.create_task(bench.ask())
    await started(box, 1)
    async with bench.pipeline.stream(chat(stream=True)) as messages:
        await anext(messages)
        assert waiting() == 1
    assert waiting() == 0
    box.let_go()
    await running
    assert len(box.seen) == 1
