"""Two real adapters of one host on one card: what its book says is what the engines do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nexus.types.v1 import memory_pb2
from nexus_inference_adapters.config import GIB
from nexus_mesh.core.errors import MeshError, Reason
from support.adapter_host import HELLO, Bench
from support.fake_ollama import FakeOllama
from support.shared_card import shared_card
from support.waiting import eventually


def ask(model: str) -> dict[str, Any]:
    return {**HELLO, "model": model}


async def test_three_models_in_turns_never_take_more_than_the_card_has() -> None:
    async with shared_card() as card:
        one, two = await card.serve()
        for fake in (card.one, card.two):
            fake.engine.unload_seconds = 0.05
        for model in "abcabcacb":
            answer = await card.bench.complete(two if model == "b" else one, ask(model))
            assert answer["choices"][0]["message"]["content"] == "hello from ollama"
        assert 0 < card.most <= 24 * GIB


async def test_requests_in_a_crowd_are_all_served_within_the_card() -> None:
    async with shared_card(first_token=30.0) as card:
        one, two = await card.serve()
        for fake in (card.one, card.two):
            fake.engine.load_seconds = fake.engine.unload_seconds = 0.02
            fake.engine.num_parallel = 8
        asked = [card.bench.stream(two if model == "b" else one, ask(model)) for model in "abccbacabbac" * 3]
        for streamed in await asyncio.gather(*asked):
            assert streamed.text() == "hello from ollama"
            assert streamed.finish is not None
        assert card.most <= 24 * GIB


async def test_a_wait_that_would_be_too_long_is_refused_with_its_length() -> None:
    async with shared_card(min_residency=300.0, first_token=5.0) as card:
        one, two = await card.serve()
        await card.bench.complete(one, ask("a"))
        await card.bench.complete(two, ask("b"))
        with pytest.raises(MeshError) as caught:
            await card.bench.complete(one, ask("c"))
        assert caught.value.reason is Reason.OVERLOAD
        assert 250 < (caught.value.retry_after or 0) < 330
        assert "gpu0" in caught.value.message
        assert card.loaded == {"a", "b"}
        await card.bench.complete(one, ask("a"))  # those in memory go on


async def test_what_is_in_use_is_never_unloaded() -> None:
    async with shared_card(first_token=30.0) as card:
        one, two = await card.serve()
        card.one.engine.num_parallel = 4
        card.one.engine.interval = card.two.engine.interval = 0.1
        words = " ".join(["word"] * 10)
        card.one.engine.answer = card.two.engine.answer = words
        running = [
            asyncio.ensure_future(card.bench.stream(backend, ask(model)))
            for backend, model in ((one, "a"), (two, "b"))
        ]
        await eventually(lambda: card.loaded == {"a", "b"}, what="both models in memory")
        third = asyncio.ensure_future(card.bench.stream(one, ask("c")))
        while not any(task.done() for task in running):
            assert card.loaded == {"a", "b"}
            await asyncio.sleep(0.02)
        for task in (*running, third):
            assert (await task).text() == words
        assert card.most <= 24 * GIB
        assert any(step.phase == "loaded" for step in (await third).progress)


async def test_whoever_stops_waiting_leaves_nothing_behind() -> None:
    async with shared_card(first_token=30.0) as card:
        one, _ = await card.serve()
        card.one.engine.load_seconds = 0.3
        waiting = [asyncio.ensure_future(card.bench.complete(one, ask("a"))) for _ in range(3)]
        await eventually(lambda: _states(card.bench) == {"a:latest": "LOADING"}, what="the load to begin")
        for task in waiting:
            task.cancel()
        assert all(
            isinstance(left, asyncio.CancelledError)
            for left in await asyncio.gather(*waiting, return_exceptions=True)
        )
        await eventually(lambda: _states(card.bench) == {"a:latest": "IDLE"}, what="the load to end")
        assert not card.one.engine.runs
        await card.bench.complete(one, ask("a"))


async def test_a_load_that_fails_is_told_to_all_who_wait_and_holds_nothing() -> None:
    async with shared_card() as card:
        one, _ = await card.serve()
        del card.one.engine.models["a:latest"]
        told = await asyncio.gather(
            *(card.bench.complete(one, ask("a")) for _ in range(3)), return_exceptions=True
        )
        assert {one.reason for one in told if isinstance(one, MeshError)} == {Reason.MODEL_NOT_FOUND}
        assert _states(card.bench) == {}


async def test_models_wanted_are_loaded_while_there_is_room() -> None:
    async with shared_card(prewarm=("b", "c:latest")) as card:
        await card.serve()
        await eventually(lambda: card.loaded == {"b", "c"}, what="both wanted models in memory")
        assert [body["keep_alive"] for body in _loads(card.two)] == [-1]


async def test_an_idle_model_is_unloaded_and_the_engine_would_do_it_too() -> None:
    async with shared_card(idle_unload=0.5) as card:
        one, _ = await card.serve()
        await card.bench.complete(one, ask("a"))
        assert _chats(card.one)[-1]["keep_alive"] == 60
        await eventually(lambda: card.loaded == set(), what="the idle model's end")
        await eventually(lambda: _states(card.bench) == {}, what="the book to say so")


async def test_what_others_loaded_is_in_the_book() -> None:
    async with shared_card() as card:
        await card.one.engine.load(card.one.engine.models["a:latest"], {}, None)
        await card.serve()
        assert _states(card.bench) == {"a:latest": "IDLE"}
        card.one.engine.unload(card.one.engine.models["a:latest"])
        await eventually(lambda: _states(card.bench) == {}, 10.0, what="a look at the engine")


async def test_the_registry_is_told_who_has_memory() -> None:
    async with shared_card() as card:
        one, two = await card.serve()
        await card.bench.complete(one, ask("a"))
        await card.bench.complete(two, ask("b"))
        idle = memory_pb2.RESERVATION_STATE_IDLE
        await eventually(
            lambda: [row.state for row in _reservations(card.bench)] == [idle, idle], 10.0, "the status"
        )
        [device] = card.bench.board.get().devices
        assert (device.name, device.total_bytes, list(device.backends)) == ("gpu0", 24 * GIB, ["one", "two"])
        told = {row.model: (row.backend, row.size_bytes) for row in device.reservations}
        assert told == {"a:latest": ("one", 14 * GIB), "b:latest": ("two", 10 * GIB)}
        assert all(row.HasField("expect_time") for row in device.reservations)


async def test_without_a_device_nothing_is_managed(bench: Bench, fake_ollama: FakeOllama) -> None:
    backend = await bench.serve("ollama", fake_ollama.url)
    await bench.complete(backend, ask("llama3.2"))
    assert bench.host.devices() == []
    assert not bench.board.get().devices
    assert _loads(fake_ollama) == []
    assert "keep_alive" not in _chats(fake_ollama)[-1]


def _states(bench: Bench) -> dict[str, str]:
    rows = [row for device in bench.host.devices() for row in device.reservations]
    return {
        row.model: memory_pb2.ReservationState.Name(row.state).removeprefix("RESERVATION_STATE_")
        for row in rows
    }


def _reservations(bench: Bench) -> list[Any]:
    return [row for device in bench.board.get().devices for row in device.reservations]


def _loads(fake: FakeOllama) -> list[dict[str, Any]]:
    """The bodies of requests that only loaded."""
    return [one.body for one in fake.requests if one.path == "/api/generate" and "prompt" not in one.body]


def _chats(fake: FakeOllama) -> list[dict[str, Any]]:
    return [one.body for one in fake.requests if one.path == "/api/chat"]
