"""stable-diffusion-webui behind the adapter: its one job may be anybody's, and half of one looks whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from nexus_inference_adapters.contract import open_session
from nexus_inference_adapters.discovery.probing import probe
from nexus_inference_adapters.host.backend import Backend
from nexus_inference_adapters.kinds import a1111
from nexus_mesh.core import MeshError, Reason
from support.adapter_host import adapter_bench
from support.fake_a1111 import FakeA1111
from support.painted import painted
from support.seen import seen
from support.waiting import eventually

BODY: dict[str, Any] = {"prompt": "a fox", "size": "256x256", "steps": 4, "seed": 7, "model": "tiny"}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(a1111, "POLL_SECONDS", 0.02)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeA1111]:
    async with FakeA1111() as fake:
        yield fake


@pytest_asyncio.fixture
async def backend(server: FakeA1111) -> AsyncIterator[Backend]:
    async with adapter_bench() as bench:
        yield await bench.serve("a1111", server.url, max_concurrency=3)


def sent(server: FakeA1111) -> list[dict[str, Any]]:
    return [each.body for each in server.requests if each.path.endswith("txt2img")]


async def test_it_is_known_by_what_it_says(server: FakeA1111) -> None:
    async with open_session() as session:
        found = await probe(session, "127.0.0.1", server.port)
    assert found is not None
    assert found.kind == "a1111"


async def test_pictures_progress_and_looks(backend: Backend, server: FakeA1111) -> None:
    server.watched = True
    looks, progress = await painted(backend, {**BODY, "partial_images": 2, "output_format": "webp"})
    assert [look.preview for look in looks] == [0, 1, None]
    assert [seen(look.data).codec for look in looks] == ["webp"] * 3
    assert json.loads(looks[-1].json)["seed"] == 7
    steps = [each.done for each in progress if each.unit == "steps"]
    assert steps == sorted(set(steps))
    assert {each.total for each in progress if each.unit == "steps"} == {4}


async def test_what_was_asked_reaches_it(backend: Backend, server: FakeA1111) -> None:
    more = {"negative_prompt": "blur", "guidance_scale": 3.5, "sampler": "DPM++ 2M", "scheduler": "karras"}
    await painted(backend, {**BODY, **more, "n": 2, "lora_name": "style", "lora_strength": 0.5})
    first, second = sent(server)
    assert (first["seed"], second["seed"]) == (7, 8)
    assert first["prompt"] == "a fox <lora:style:0.5>"
    wanted = {
        "negative_prompt": "blur", "cfg_scale": 3.5, "sampler_name": "DPM++ 2M", "scheduler": "karras", "width": 256,
        "height": 256, "steps": 4, "save_images": False, "override_settings": {"sd_model_checkpoint": server.loaded},
    }  # fmt: skip
    assert first | wanted == first


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sampler": "best"}, "Euler a"),
        ({"scheduler": "best"}, "karras"),
        ({"lora_name": "best"}, "style"),
        ({"steps": 151}, "150"),
    ],
)
async def test_what_there_is_not_is_refused_with_what_there_is(
    backend: Backend, server: FakeA1111, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(MeshError, match=said) as caught:
        await painted(backend, {**BODY, **change})
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert not sent(server)


async def test_only_its_own_job_is_interrupted(backend: Backend, server: FakeA1111) -> None:
    """The one that runs is the web page's; ours waits, is given up, and is interrupted when its turn comes."""
    server.go.clear()
    page = asyncio.create_task(server._work(_queued(server, "task(page)"), {"seed": 1, "steps": 2}))
    await eventually(lambda: server.current == "task(page)")
    ours = asyncio.create_task(painted(backend, {**BODY, "steps": 100}))
    await eventually(lambda: server.pending)
    ours.cancel()
    await asyncio.wait({ours})
    looked = len(server.requests)
    await eventually(lambda: len(server.requests) > looked + 2, what="it to be looked after")
    server.step_seconds = 0.05
    server.go.set()
    await page
    assert not any(each.path.endswith("interrupt") for each in server.requests), "while it was another's"
    await eventually(lambda: len(server.finished) == 2, what="ours to end long before its hundred steps")
    assert [each.path.endswith("interrupt") for each in server.requests].count(True) == 1


async def test_a_build_without_task_ids_is_never_interrupted(backend: Backend, server: FakeA1111) -> None:
    server.old = True
    server.go.clear()
    task = asyncio.create_task(painted(backend, BODY))
    await eventually(lambda: server.current)
    task.cancel()
    await asyncio.wait({task})
    looked = len(server.requests)
    await eventually(lambda: len(server.requests) > looked + 2, what="it to be looked for")
    server.go.set()
    await eventually(lambda: server.finished)
    assert not any(each.path.endswith("interrupt") for each in server.requests)


async def test_half_a_picture_that_looks_whole_is_none(backend: Backend, server: FakeA1111) -> None:
    server.go.clear()
    task = asyncio.create_task(painted(backend, BODY))
    await eventually(lambda: server.current)
    server.state["interrupted"] = True
    server.go.set()
    with pytest.raises(MeshError) as caught:
        await task
    assert caught.value.reason is Reason.BACKEND_LOST


async def test_a_kill_in_the_middle_is_a_failure(backend: Backend, server: FakeA1111) -> None:
    server.go.clear()
    task = asyncio.create_task(painted(backend, BODY))
    await eventually(lambda: server.current)
    await server.stop()
    with pytest.raises(MeshError) as caught:
        await task
    assert caught.value.reason is Reason.BACKEND_LOST


async def test_a_cut_picture_is_none(backend: Backend, server: FakeA1111) -> None:
    server.cut = 300
    with pytest.raises(MeshError) as caught:
        await painted(backend, BODY)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


async def test_memory_is_told_and_given_back(backend: Backend, server: FakeA1111) -> None:
    assert backend.inspection.resident == {server.loaded: 2**30}
    assert backend.inspection.offers[0].model.loaded
    await backend.unload(backend.offer("tiny"))
    assert server.allocated == 0


def _queued(server: FakeA1111, task: str) -> str:
    server.pending.append(task)
    return task
