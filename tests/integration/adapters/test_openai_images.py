"""Servers with OpenAI's endpoint for pictures: nothing half, and nothing other than what was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from nexus.registry.v1 import instance_pb2
from nexus_inference_adapters.host.backend import Backend
from nexus_mesh.core import MeshError, Reason
from support.adapter_host import adapter_bench
from support.fake_openai_images import FakeOpenAIImages
from support.painted import painted
from support.seen import seen
from support.waiting import eventually

BODY: dict[str, Any] = {"prompt": "a fox", "size": "256x256", "model": "painter-1"}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeOpenAIImages]:
    async with FakeOpenAIImages("llama", "painter-1") as fake:
        yield fake


@pytest_asyncio.fixture
async def backend(server: FakeOpenAIImages) -> AsyncIterator[Backend]:
    async with adapter_bench() as bench:
        yield await bench.serve("openai_images", server.url, models=("painter-1",))


async def test_pictures_in_the_format_that_was_asked(backend: Backend, server: FakeOpenAIImages) -> None:
    assert [offer.model.id for offer in backend.inspection.offers] == ["painter-1"]
    pictures, _ = await painted(backend, {**BODY, "n": 2, "output_format": "jpeg"})
    assert [each.mime_type for each in pictures] == ["image/jpeg"] * 2
    assert [seen(each.data).pixels.shape for each in pictures] == [(256, 256, 3)] * 2
    assert pictures[0].data != pictures[1].data
    assert json.loads(pictures[0].json) == {"size": "256x256", "background": "opaque", "quality": "auto"}
    assert server.requests[-1].body == {
        "model": "painter-1", "prompt": "a fox", "n": 2, "size": "256x256", "response_format": "b64_json",
    }  # fmt: skip


async def test_a_size_of_its_own_is_told(backend: Backend) -> None:
    ((picture,), _) = await painted(backend, {**BODY, "size": "auto"})
    assert json.loads(picture.json)["size"] == "512x512"


async def test_a_server_that_takes_no_word_about_the_form_is_asked_without(
    backend: Backend, server: FakeOpenAIImages
) -> None:
    server.takes_format = False
    for _ in range(2):
        assert len((await painted(backend, BODY))[0]) == 1
    assert len([path for path in server.paths if path.endswith("generations")]) == 3


@pytest.mark.parametrize(
    "more", [{"seed": 1}, {"steps": 3}, {"quality": "hd"}, {"size": "77x77"}, {"partial_images": 1}]
)
async def test_what_nobody_knows_that_it_heeds_is_refused(backend: Backend, more: dict[str, Any]) -> None:
    with pytest.raises(MeshError) as caught:
        await painted(backend, {**BODY, **more})
    assert caught.value.metadata["param"] in more


@pytest.mark.parametrize("habit", [{"links": True}, {"fewer": 1}, {"size": "64x64"}, {"cut": 100}])
async def test_what_is_not_what_was_asked_is_none(
    backend: Backend, server: FakeOpenAIImages, habit: dict[str, Any]
) -> None:
    for name, value in habit.items():
        setattr(server, name, value)
    with pytest.raises(MeshError) as caught:
        await painted(backend, {**BODY, "n": 2})
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED
    assert not any(path.endswith("secret.png") for path in server.paths)


async def test_whoever_leaves_closes_the_connection(backend: Backend, server: FakeOpenAIImages) -> None:
    server.seconds = 30.0
    task = asyncio.create_task(painted(backend, BODY))
    await eventually(lambda: server.in_flight and server.paths[-1].endswith("generations"))
    task.cancel()
    await eventually(lambda: any(each.cancelled for each in server.requests))
    assert backend.gate.active == 0


async def test_a_kill_in_the_middle_is_a_failure(backend: Backend, server: FakeOpenAIImages) -> None:
    server.seconds = 30.0
    task = asyncio.create_task(painted(backend, BODY))
    await eventually(lambda: server.in_flight and server.paths[-1].endswith("generations"))
    await server.stop()
    with pytest.raises(MeshError) as caught:
        await task
    assert caught.value.reason is Reason.BACKEND_LOST


async def test_a_model_that_is_not_listed_is_missed(server: FakeOpenAIImages) -> None:
    async with adapter_bench() as bench:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await bench.serve("openai_images", server.url, name="none", models=("other",))
        assert bench.host.named["none"].inspection.state == instance_pb2.STATE_UNHEALTHY
        assert "other" in bench.host.named["none"].inspection.reason
