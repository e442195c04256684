"""InvokeAI behind the adapter: its queue is everybody's, and its Socket.IO a help that it can do without."""

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
from nexus_mesh.core import MeshError, Reason
from support.adapter_host import adapter_bench
from support.fake_invokeai import FakeInvokeAI
from support.painted import painted
from support.seen import seen
from support.waiting import eventually

BODY: dict[str, Any] = {"prompt": "a fox", "size": "256x256", "steps": 4, "seed": 7, "model": "tiny"}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeInvokeAI]:
    async with FakeInvokeAI() as fake:
        yield fake


@pytest_asyncio.fixture
async def backend(server: FakeInvokeAI) -> AsyncIterator[Backend]:
    async with adapter_bench(connect=1.0) as bench:
        yield await bench.serve("invokeai", server.url, max_concurrency=3)


def graph_of(server: FakeInvokeAI) -> dict[str, Any]:
    (*_, sent) = (each.body for each in server.requests if each.path.endswith("enqueue_batch"))
    return {node["type"]: node for node in sent["batch"]["graph"]["nodes"].values()}


async def test_it_is_known_by_what_it_says(server: FakeInvokeAI) -> None:
    async with open_session() as session:
        found = await probe(session, "127.0.0.1", server.port)
    assert found is not None
    assert found.kind == "invokeai"


async def test_models_of_the_families_there_are(backend: Backend) -> None:
    assert [offer.model.id for offer in backend.inspection.offers] == ["tiny", "large"]
    takes = [
        json.loads(offer.model.parameters[0].schema)["properties"] for offer in backend.inspection.offers
    ]
    assert takes[0]["lora_name"] == {"enum": ["style"]}
    assert "lora_name" not in takes[1]
    assert takes[1]["scheduler"] == {"enum": ["ddim", "euler", "dpmpp_2m_k"]}


async def test_pictures_progress_and_looks(backend: Backend, server: FakeInvokeAI) -> None:
    server.step_seconds = 0.1
    looks, progress = await painted(backend, {**BODY, "partial_images": 2, "output_format": "webp"})
    assert [look.preview for look in looks] == [0, 1, None]
    assert [seen(look.data).codec for look in looks] == ["webp"] * 3
    assert json.loads(looks[-1].json) == {
        "size": "256x256",
        "background": "opaque",
        "quality": "auto",
        "seed": 7,
    }
    assert [each.done for each in progress if each.unit == "steps"] == [1, 2, 3, 4]
    assert not server.images, "its owner need not keep it"


async def test_without_socket_io_there_are_pictures_all_the_same(
    backend: Backend, server: FakeInvokeAI
) -> None:
    server.mute = True
    pictures, _ = await painted(backend, {**BODY, "n": 2})
    assert [json.loads(each.json)["seed"] for each in pictures] == [7, 8]
    assert pictures[0].data != pictures[1].data


async def test_what_was_asked_reaches_the_nodes(backend: Backend, server: FakeInvokeAI) -> None:
    more = {"negative_prompt": "blur", "guidance_scale": 3.5, "scheduler": "ddim", "lora_name": "style"}
    await painted(backend, {**BODY, **more})
    nodes = graph_of(server)
    assert (
        nodes["denoise_latents"] | {"steps": 4, "cfg_scale": 3.5, "scheduler": "ddim"}
        == nodes["denoise_latents"]
    )
    assert nodes["noise"] | {"seed": 7, "width": 256, "height": 256} == nodes["noise"]
    assert nodes["main_model_loader"]["model"]["key"] == "key-sd-1-tiny"
    assert nodes["lora_loader"]["lora"]["key"] == "key-sd-1-style"
    assert not nodes["l2i"]["is_intermediate"]
    await painted(backend, {**BODY, "model": "large", "size": "auto"})
    nodes = graph_of(server)
    assert nodes["noise"]["width"] == 1024
    assert nodes["sdxl_compel_prompt"]["original_width"] == 1024
    assert "sdxl_model_loader" in nodes


@pytest.mark.parametrize(
    ("change", "said"), [({"scheduler": "best"}, "dpmpp_2m_k"), ({"lora_name": "best"}, "style")]
)
async def test_what_there_is_not_is_refused_with_what_there_is(
    backend: Backend, server: FakeInvokeAI, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(MeshError, match=said) as caught:
        await painted(backend, {**BODY, **change})
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert not server.items


@pytest.mark.parametrize("leaves", [0, 1], ids=["the one that runs", "one that waits"])
async def test_taking_one_of_three_back_leaves_the_others(
    backend: Backend, server: FakeInvokeAI, leaves: int
) -> None:
    server.go.clear()
    tasks = []
    for seed in range(3):
        tasks.append(asyncio.create_task(painted(backend, {**BODY, "seed": seed})))
        await eventually(lambda: len(server.items) == len(tasks))
    tasks[leaves].cancel()
    await asyncio.wait({tasks[leaves]})
    server.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in results] == [at == leaves for at in range(3)]
    statuses = [item["status"] for item in server.items.values()]
    assert statuses == ["canceled" if at == leaves else "completed" for at in range(3)]


async def test_a_kill_in_the_middle_is_a_failure(backend: Backend, server: FakeInvokeAI) -> None:
    server.go.clear()
    task = asyncio.create_task(painted(backend, BODY))
    await eventually(lambda: any(item["status"] == "in_progress" for item in server.items.values()))
    port = server.port
    await server.stop()
    await server.start(port)
    with pytest.raises(MeshError) as caught:
        await task
    assert caught.value.reason in (Reason.BACKEND_LOST, Reason.BACKEND_DOWN)


@pytest.mark.parametrize(("fails", "said"), [("OutOfMemoryError", "smaller size"), ("ValueError", "own log")])
async def test_its_own_words_stay_there(
    backend: Backend, server: FakeInvokeAI, fails: str, said: str
) -> None:
    server.fails = (fails, "/secret/path")
    with pytest.raises(MeshError, match=said) as caught:
        await painted(backend, BODY)
    assert caught.value.reason is Reason.UPSTREAM_ERROR
    assert "secret" not in caught.value.message


async def test_a_graph_that_is_refused_is_a_failure(backend: Backend, server: FakeInvokeAI) -> None:
    server.refuses = True
    with pytest.raises(MeshError) as caught:
        await painted(backend, BODY)
    assert caught.value.reason is Reason.UPSTREAM_ERROR


async def test_half_a_picture_is_none(backend: Backend, server: FakeInvokeAI) -> None:
    server.cut = 100
    with pytest.raises(MeshError) as caught:
        await painted(backend, BODY)
    assert caught.value.reason in (Reason.BACKEND_LOST, Reason.UPSTREAM_MALFORMED)
