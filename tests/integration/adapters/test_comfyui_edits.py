"""Pictures that are changed by ComfyUI: with a mask, without one, and made larger."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from nexus_inference_adapters.host.backend import Backend
from nexus_inference_adapters.vocabulary import IMAGE, IMAGE_EDIT, IMAGE_VARIATION
from nexus_mesh.core import MeshError, Reason
from support.adapter_host import adapter_bench
from support.comfyui_recordings import object_info_of, recording
from support.fake_comfyui import FakeComfyUI
from support.painted import edited, gathered, mask_file, picture_file
from support.seen import seen

UPSCALERS = {
    "UpscaleModelLoader": {"input": {"required": {"model_name": ["COMBO", {"options": ["x4.pth"]}]}}}
}
NODES = object_info_of(recording("comfyui-0.8.0-sampler.jsonl")) | UPSCALERS
BODY: dict[str, Any] = {"prompt": "a fox", "steps": 2, "seed": 7, "model": "tiny"}
PICTURE, MASK = picture_file(1, 64, 64), mask_file(64, 64)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeComfyUI]:
    async with FakeComfyUI(NODES) as fake:
        yield fake


@pytest_asyncio.fixture
async def backend(server: FakeComfyUI) -> AsyncIterator[Backend]:
    async with adapter_bench() as bench:
        yield await bench.serve("comfyui", server.url)


def graph_of(server: FakeComfyUI) -> dict[str, Any]:
    sent = [each.body for each in server.requests if each.path == "/prompt"]
    return {node["class_type"]: node["inputs"] for node in sent[-1]["prompt"].values()}


def schema(backend: Backend, model: str, operation: int) -> dict[str, Any]:
    told = backend.offer(model).model.parameters
    return json.loads(next(each.schema for each in told if each.operation == operation))


async def test_what_can_be_changed_is_told(backend: Backend) -> None:
    does = {offer.model.id: sorted(offer.model.operations) for offer in backend.inspection.offers}
    assert does == {"tiny": [IMAGE, IMAGE_EDIT], "x4": [IMAGE_VARIATION]}
    edits = schema(backend, "tiny", IMAGE_EDIT)
    assert edits["required"] == ["image", "prompt"]
    assert {"mask", "strength", "sampler"} <= edits["properties"].keys()
    larger = schema(backend, "x4", IMAGE_VARIATION)
    assert larger["required"] == ["image"]
    assert not {"prompt", "mask", "seed", "steps"} & larger["properties"].keys()


async def test_a_picture_and_a_prompt(backend: Backend, server: FakeComfyUI) -> None:
    pictures, _ = await gathered(edited(backend, {**BODY, "strength": 0.4}, [("image", PICTURE)]))
    assert seen(pictures[0].data).codec == "png"
    graph = graph_of(server)
    assert graph["KSampler"]["denoise"] == 0.4
    name, _, folder = graph["LoadImage"]["image"].partition(" ")
    assert folder == "[temp]", "its owner need not keep it"
    kept = seen(server.files["temp", "", name])
    assert np.array_equal(kept.pixels, seen(PICTURE).pixels)


async def test_only_what_the_mask_shows(backend: Backend, server: FakeComfyUI) -> None:
    await gathered(edited(backend, BODY, [("image", PICTURE), ("mask", MASK)]))
    graph = graph_of(server)
    assert graph["LoadImageMask"]["image"] != graph["LoadImage"]["image"]
    assert "SetLatentNoiseMask" in graph
    assert "ImageCompositeMasked" in graph


async def test_larger(backend: Backend, server: FakeComfyUI) -> None:
    events = edited(backend, {"model": "x4"}, [("image", PICTURE)], "image_variation")
    await gathered(events)
    assert graph_of(server)["UpscaleModelLoader"]["model_name"] == "x4.pth"


@pytest.mark.parametrize(
    ("files", "param"),
    [
        ([("image", PICTURE[:200])], "image"),
        ([("image", b"GIF89a")], "image"),
        ([("image", PICTURE), ("image", PICTURE)], "image"),
        ([("image", PICTURE), ("mask", mask_file(32, 64))], "mask"),
        ([("image", PICTURE), ("mask", b"mask")], "mask"),
        ([("image", PICTURE), ("mask", PICTURE)], "mask"),
    ],
)
async def test_what_is_no_picture_never_reaches_the_server(
    backend: Backend, server: FakeComfyUI, files: list[tuple[str, bytes]], param: str
) -> None:
    with pytest.raises(MeshError) as caught:
        await gathered(edited(backend, BODY, files))
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert caught.value.metadata["param"] == param
    assert "/prompt" not in server.paths
