"""ComfyUI behind the adapter: a fake that is as recordings of a real one are. The real one: `make comfyui`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from nexus.registry.v1 import instance_pb2
from nexus_inference_adapters.contract import Event, Media, Progress, open_session
from nexus_inference_adapters.discovery.probing import probe
from nexus_inference_adapters.host.backend import Backend
from nexus_inference_adapters.kinds.comfyui.workflow import SHIPPED
from nexus_mesh.core import MeshError, Reason
from support.adapter_host import Bench, adapter_bench
from support.comfyui_recordings import object_info_of, recording
from support.fake_comfyui import FakeComfyUI
from support.painted import asked as asked_of
from support.painted import painted as painted_by
from support.seen import seen
from support.waiting import eventually

NODES = object_info_of(recording("comfyui-0.8.0-sampler.jsonl"))
BODY: dict[str, Any] = {"prompt": "a fox", "size": "256x256", "steps": 4, "seed": 7, "model": "tiny"}


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Bench]:
    async with adapter_bench(connect=1.0) as bench:
        yield bench


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeComfyUI]:
    async with FakeComfyUI(NODES) as fake:
        yield fake


@pytest_asyncio.fixture
async def backend(bench: Bench, server: FakeComfyUI) -> Backend:
    return await bench.serve("comfyui", server.url, max_concurrency=3)


def asked(backend: Backend, **more: Any) -> AsyncGenerator[Event, None]:
    return asked_of(backend, {**BODY, **more})


async def painted(backend: Backend, **more: Any) -> tuple[list[Media], list[Progress]]:
    return await painted_by(backend, {**BODY, **more})


class Held:
    """Samplers wait at each step until their prompt is let go; `released`: how many prompts are, in their order."""

    def __init__(self, server: FakeComfyUI) -> None:
        self.released = 0
        self.at_work = 0
        self._server = server
        server.hold = self._wait

    async def _wait(self, kind: str, _: dict[str, Any], step: int) -> None:
        assert self._server.running is not None
        number = self._server.running[0]
        if kind == "KSampler" and step:
            self.at_work = number + 1
            while self.released <= number and not self._server.interrupted:  # noqa: ASYNC110 - tests let it go
                await asyncio.sleep(0.005)


def sent(server: FakeComfyUI) -> list[dict[str, Any]]:
    return [each.body for each in server.requests if each.path == "/prompt"]


async def test_it_is_known_by_what_it_says(server: FakeComfyUI) -> None:
    async with open_session() as session:
        found = await probe(session, "127.0.0.1", server.port)
    assert found is not None
    assert found.kind == "comfyui"


async def test_a_picture_its_progress_and_looks_at_it(backend: Backend, server: FakeComfyUI) -> None:
    looks, progress = await painted(backend, partial_images=2, output_format="webp")
    assert [look.preview for look in looks] == [0, 1, None]
    assert {look.mime_type for look in looks} == {"image/webp"}
    assert [seen(look.data).codec for look in looks] == ["webp"] * 3
    assert json.loads(looks[-1].json) == {
        "size": "256x256",
        "background": "opaque",
        "quality": "auto",
        "seed": 7,
    }
    steps = [(each.done, each.total) for each in progress if each.unit == "steps"]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    (body,) = sent(server)
    inputs = {node["class_type"]: node["inputs"] for node in body["prompt"].values()}
    assert inputs["KSampler"] | {"seed": 7, "steps": 4} == inputs["KSampler"]
    assert inputs["CheckpointLoaderSimple"]["ckpt_name"] == "tiny.safetensors"
    assert (inputs["EmptyLatentImage"]["width"], inputs["EmptyLatentImage"]["height"]) == (256, 256)
    assert "LoraLoader" not in inputs
    assert body["extra_data"] == {"preview_method": "auto"}


async def test_each_picture_has_a_seed_of_its_own(backend: Backend, server: FakeComfyUI) -> None:
    pictures, _ = await painted(backend, n=3)
    assert [json.loads(each.json)["seed"] for each in pictures] == [7, 8, 9]
    assert len({each.data for each in pictures}) == 3
    again, _ = await painted(backend, n=3)
    assert [each.data for each in again] == [each.data for each in pictures]
    assert {body["extra_data"]["preview_method"] for body in sent(server)} == {"none"}


async def test_what_was_asked_reaches_the_nodes(backend: Backend, server: FakeComfyUI) -> None:
    more = {"negative_prompt": "blur", "guidance_scale": 3.5, "sampler": "heun", "scheduler": "karras"}
    await painted(backend, **more, lora_name="tiny-style.safetensors", lora_strength=0.5)
    (body,) = sent(server)
    graph = body["prompt"]
    sampler = graph["3"]["inputs"]
    assert (sampler["cfg"], sampler["sampler_name"], sampler["scheduler"]) == (3.5, "heun", "karras")
    assert graph[sampler["negative"][0]]["inputs"]["text"] == "blur"
    assert graph[sampler["model"][0]]["inputs"]["lora_name"] == "tiny-style.safetensors"
    assert graph[sampler["model"][0]]["inputs"]["strength_clip"] == 0.5


@pytest.mark.parametrize(
    ("change", "param", "said"),
    [
        ({"sampler": "best"}, "sampler", "euler"),
        ({"scheduler": "best"}, "scheduler", "karras"),
        ({"size": "100x100"}, "size", "1024x1024"),
        ({"lora_name": "none"}, "lora_name", "tiny-style.safetensors"),
        ({"steps": 1001}, "steps", "between 1 and 1000"),
        ({"style": "vivid"}, "style", "guidance_scale"),
    ],
)
async def test_what_there_is_not_is_refused_with_what_there_is(
    backend: Backend, server: FakeComfyUI, change: dict[str, Any], param: str, said: str
) -> None:
    with pytest.raises(MeshError) as caught:
        await painted(backend, **change)
    assert caught.value.reason in (Reason.INVALID_REQUEST, Reason.UNSUPPORTED_PARAMETER)
    assert caught.value.metadata["param"] == param
    assert said in caught.value.message
    assert not sent(server)


async def test_whoever_waits_hears_how_many_are_before_him(backend: Backend, server: FakeComfyUI) -> None:
    held = Held(server)
    first = asyncio.create_task(painted(backend))
    await eventually(lambda: held.at_work)
    second = asyncio.create_task(painted(backend, seed=1))
    await eventually(lambda: server.pending)
    queued = []
    async for event in asked(backend, seed=2):
        if isinstance(event, Progress) and event.phase == "queued":
            queued.append((event.done, event.total, event.unit))
            held.released = 3 if event.done else 1
    assert list(dict.fromkeys(queued)) == [(0, 2, "ahead"), (1, 2, "ahead")]
    await asyncio.gather(first, second)


@pytest.mark.parametrize("old", [False, True], ids=["0.8.0", "a build that takes no ids"])
async def test_taking_one_of_three_back_leaves_the_others(bench: Bench, old: bool) -> None:
    """The one that runs and, another time, one that waits."""
    async with FakeComfyUI(NODES, old=old) as server:
        held = Held(server)
        backend = await bench.serve("comfyui", server.url, max_concurrency=3)
        for leaves in (0, 1):
            tasks = []
            for seed in range(3):
                tasks.append(asyncio.create_task(painted(backend, seed=10 * leaves + seed)))
                await eventually(lambda: len(server.pending) + (server.running is not None) == len(tasks))  # noqa: B023
            await eventually(lambda: held.at_work == 3 * leaves + 1)  # noqa: B023
            tasks[leaves].cancel()
            await asyncio.wait({tasks[leaves]})
            held.released += 3
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [isinstance(each, asyncio.CancelledError) for each in results] == [
                at == leaves for at in range(3)
            ]
            assert all(len(each[0]) == 1 for each in results if isinstance(each, tuple))
        await eventually(lambda: not server.history, what="what was asked to be forgotten")


async def test_nobody_else_is_ever_interrupted(backend: Backend, server: FakeComfyUI) -> None:
    """A prompt of ComfyUI's own page runs; ours waits behind it, and is given up."""
    held = Held(server)
    task = asyncio.create_task(painted(backend))
    await eventually(lambda: held.at_work)
    async with aclosing(asked(backend, seed=8)) as ours:
        await anext(ours)
    held.released = 2
    assert not any(each.path == "/interrupt" for each in server.requests)
    pictures, _ = await task
    assert len(pictures) == 1


async def test_a_kill_in_the_middle_is_a_failure_that_says_so(
    bench: Bench, backend: Backend, server: FakeComfyUI
) -> None:
    server.step_seconds = 0.05
    events = asked(backend, steps=50)
    async for event in events:
        if isinstance(event, Progress) and event.unit == "steps":
            break
    port = server.port
    await server.stop()
    with pytest.raises(MeshError) as caught:
        [event async for event in events]
    assert caught.value.reason is Reason.BACKEND_LOST
    server.step_seconds = 0.0
    await server.start(port)
    await eventually(lambda: backend.inspection.state == instance_pb2.STATE_ACTIVE, 20.0)
    assert len((await painted(backend))[0]) == 1


async def test_a_server_that_starts_anew_meanwhile_does_not_know_the_prompt(
    backend: Backend, server: FakeComfyUI
) -> None:
    server.step_seconds = 0.05
    events = asked(backend, steps=50)
    async for event in events:
        if isinstance(event, Progress) and event.unit == "steps":
            break
    port = server.port
    await server.stop()
    await server.start(port)
    with pytest.raises(MeshError) as caught:
        [event async for event in events]
    assert caught.value.reason is Reason.BACKEND_LOST


async def test_a_line_that_breaks_is_taken_up_again(backend: Backend, server: FakeComfyUI) -> None:
    server.step_seconds = 0.05
    events, pictures = asked(backend, steps=20), 0
    async for event in events:
        if isinstance(event, Progress) and event.unit == "steps" and event.done == 2:
            (socket,) = server.sockets.values()
            await socket.close()
        pictures += isinstance(event, Media) and event.last
    assert pictures == 1


@pytest.mark.parametrize("left", [0, 100, -1])
async def test_half_a_picture_is_none(backend: Backend, server: FakeComfyUI, left: int) -> None:
    server.cut = left
    with pytest.raises(MeshError) as caught:
        await painted(backend)
    assert caught.value.reason in (Reason.BACKEND_LOST, Reason.UPSTREAM_MALFORMED)


@pytest.mark.parametrize(
    ("kind", "said"), [("torch.OutOfMemoryError", "smaller size"), ("ValueError", "its own log")]
)
async def test_a_node_that_fails_is_named_and_its_words_stay(
    backend: Backend, server: FakeComfyUI, kind: str, said: str
) -> None:
    server.fails["KSampler"] = kind
    with pytest.raises(MeshError) as caught:
        await painted(backend)
    assert caught.value.reason is Reason.UPSTREAM_ERROR
    assert "KSampler" in caught.value.message
    assert said in caught.value.message.lower()
    assert "secret" not in caught.value.message


async def test_somebody_interrupting_it_is_a_failure(backend: Backend, server: FakeComfyUI) -> None:
    held = Held(server)
    task = asyncio.create_task(painted(backend))
    await eventually(lambda: held.at_work)
    server.interrupted = True
    with pytest.raises(MeshError) as caught:
        await task
    assert caught.value.reason is Reason.BACKEND_LOST


async def test_memory_is_told_and_given_back(backend: Backend, server: FakeComfyUI) -> None:
    await painted(backend)
    backend.look_now.set()
    await eventually(lambda: backend.inspection.resident == {"tiny": 2**31 - 2**29})
    assert backend.inspection.offers[0].model.loaded
    await backend.unload(backend.offer("tiny"))
    assert server.freed == 1
    await eventually(lambda: backend.inspection.resident == {})
    assert not backend.inspection.offers[0].model.loaded


async def test_a_workflow_of_ones_own_is_a_model(bench: Bench, server: FakeComfyUI, tmp_path: Path) -> None:
    file = json.loads((SHIPPED / "text_to_image.json").read_text())
    file["graph"]["4"]["inputs"]["ckpt_name"] = "tiny.safetensors"
    file["graph"]["9"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["8", 0], "filename_prefix": "mine"},
    }
    del file["models"], file["inputs"]["checkpoint"]
    server.nodes = NODES | {"SaveImage": NODES["PreviewImage"] | {
        "input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]}}
    }}  # fmt: skip
    (tmp_path / "portrait.json").write_text(json.dumps(file | {"sizes": ["64x64"]}))
    backend = await bench.serve("comfyui", server.url, workflows=tmp_path)
    assert [offer.model.id for offer in backend.inspection.offers] == ["tiny", "portrait"]
    for _ in range(2):
        ((picture,), _) = await painted(backend, model="portrait", size="64x64")
        assert json.loads(picture.json)["size"] == "64x64"
    names = {name for folder, _, name in server.files if folder == "output"}
    assert len(names) == 2
    with pytest.raises(MeshError, match="64x64"):
        await painted(backend, model="portrait", size="256x256")


BAD = [
    (lambda file: file["inputs"]["seed"].append(["99", "seed"]), "names node '99'"),
    (lambda file: file["inputs"].update(seed=[["3", "sed"]]), "names input 'sed', which node '3' (KSampler)"),
    (lambda file: file["graph"]["3"]["inputs"].update(hue=3), "node '3' (KSampler) takes no input 'hue'"),
    (lambda file: file["graph"]["3"]["inputs"].pop("denoise"), "node '3' (KSampler) lacks its input 'denoise'"),
    (lambda file: file["graph"]["3"].update(class_type="NoSuch"), "node '3' is a 'NoSuch'"),
    (lambda file: file["graph"]["3"]["inputs"].update(sampler_name="best"), "input 'sampler_name' of node '3'"),
    (lambda file: file["graph"]["8"]["inputs"].update(samples=["77", 0]), "input 'samples' of node '8'"),
    (lambda file: file.update(output="77"), "`output` names node '77'"),
    (lambda file: file.update(nodes=[], links=[]), "Export (API)"),
    (lambda file: file["inputs"].pop("prompt"), "where the `prompt` goes"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "said"), BAD, ids=[said for _, said in BAD])
async def test_a_bad_workflow_is_named_with_its_node_and_input(
    bench: Bench, server: FakeComfyUI, tmp_path: Path, spoil: Any, said: str
) -> None:
    file = json.loads((SHIPPED / "text_to_image.json").read_text())
    spoil(file)
    (tmp_path / "mine.json").write_text(json.dumps(file))
    backend = await bench.serve("comfyui", server.url, workflows=tmp_path)
    assert "mine.json" in backend.inspection.reason
    assert said in backend.inspection.reason
    assert [offer.model.id for offer in backend.inspection.offers] == ["tiny"], "the others are there"


@pytest.mark.parametrize("name", sorted(path.name for path in SHIPPED.glob("*.json")))
async def test_every_shipped_workflow_fits_the_recorded_server(
    bench: Bench, server: FakeComfyUI, tmp_path: Path, name: str
) -> None:
    """Whatever it is for: those for other operations wait for who answers them."""
    file = json.loads((SHIPPED / name).read_text())
    inputs = {"prompt": next(iter(file["inputs"].values())), **file["inputs"]}
    (tmp_path / name).write_text(json.dumps(file | {"operation": "image", "inputs": inputs}))
    backend = await bench.serve("comfyui", server.url, workflows=tmp_path)
    assert backend.inspection.reason == ""


async def test_a_server_without_models_says_what_it_lacks(bench: Bench) -> None:
    nodes = NODES | {"CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [[]]}}}}
    async with FakeComfyUI(nodes) as server:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await bench.serve("comfyui", server.url, name="empty")
    assert "models/checkpoints" in bench.host.named["empty"].inspection.reason
