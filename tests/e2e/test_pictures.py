"""Pictures through a whole mesh of real processes, asked for by the official client and opened by a real decoder."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import numpy as np
import openai
import psutil
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from openai.types import ImagesResponse
from support.e2e_cli import nexus
from support.e2e_mesh import listed_models, sdk
from support.live_mesh import LiveMesh, live_mesh
from support.openai_images import validate_event, validate_images
from support.png import png, png_of
from support.seen import seen
from support.waiting import eventually

SMALL = '[adapter]\nbuiltin = "nexus-demo"\n'
MODEL = "nexus-painter"
PROMPT = "a red circle on a blue background"
LONG = {"n": 10, "size": "512x512", "steps": 100}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveMesh]:
    async with live_mesh(tmp_path_factory.mktemp("pictures"), SMALL, painter=True) as running:
        await eventually(lambda: _is_listed(running), timeout=30, what="the painter")
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _is_listed(mesh: LiveMesh) -> bool:
    return {MODEL, "nexus-demo"} <= {*await listed_models(mesh.base_url)}


def painters(mesh: LiveMesh) -> list[psutil.Process]:
    """The processes that paint now, or have just painted."""
    adapter = psutil.Process(mesh.pid("adapter"))
    return [one for one in adapter.children() if any("painting.py" in word for word in one.cmdline())]


def opened(answer: ImagesResponse) -> list[bytes]:
    return [base64.b64decode(one.b64_json or "", validate=True) for one in answer.data or ()]


async def test_it_is_the_last_model_and_no_process_until_somebody_asks(mesh: LiveMesh) -> None:
    assert await listed_models(mesh.base_url) == ["nexus-demo", MODEL]
    assert painters(mesh) == []


async def test_the_official_client_gets_pictures_and_the_same_ones_by_their_seed(mesh: LiveMesh) -> None:
    async with sdk(mesh) as client:
        first = await client.images.generate(model=MODEL, prompt=PROMPT, n=2)
        ImagesResponse.model_validate(first.to_dict(), strict=True)
        seed = (first.data or [])[0].to_dict()["seed"]
        again = await client.images.generate(model=MODEL, prompt=PROMPT, n=2, extra_body={"seed": seed})
    assert opened(first) == opened(again)
    assert len({*opened(first)}) == 2
    assert {seen(each).pixels.shape for each in opened(first)} == {(256, 256, 3)}
    assert (first.size, first.output_format, first.background) == ("256x256", "png", "opaque")


async def test_the_official_client_sees_it_come(mesh: LiveMesh) -> None:
    async with sdk(mesh) as client:
        stream = await client.images.generate(
            model=MODEL, prompt=PROMPT, stream=True, partial_images=2, output_format="webp", size="512x512"
        )
        events = [event async for event in stream]
    assert [event.type for event in events] == ["image_generation.partial_image"] * 2 + [
        "image_generation.completed"
    ]
    for event in events:
        made = seen(base64.b64decode(event.b64_json))
        assert (made.codec, made.pixels.shape) == ("webp", (512, 512, 3))


def drawn() -> tuple[bytes, bytes, NDArray[np.uint8]]:
    """A picture of noise, a mask for its upper half, and the pixels."""
    pixels = np.random.default_rng(1).integers(0, 256, (128, 160, 3)).astype(np.uint8)
    mask = np.full((128, 160, 4), 255, np.uint8)
    mask[:64, :, 3] = 0
    return png(pixels), png(mask), pixels


async def test_the_official_client_edits_a_picture_where_its_mask_is_transparent(mesh: LiveMesh) -> None:
    picture, mask, pixels = drawn()
    async with sdk(mesh) as client:
        answer = await client.images.edit(model=MODEL, image=picture, mask=mask, prompt=PROMPT, n=2)
        validate_images(answer.to_dict())
        stream = await client.images.edit(
            model=MODEL, image=picture, mask=mask, prompt=PROMPT, stream=True, partial_images=2
        )
        events = [event async for event in stream]
    for event in events:
        validate_event(event.to_dict())
    assert [event.type for event in events] == ["image_edit.partial_image"] * 2 + ["image_edit.completed"]
    files = [*opened(answer), *(base64.b64decode(event.b64_json) for event in events)]
    for after in (seen(file).pixels for file in files):
        assert np.array_equal(after[64:], pixels[64:])
        assert not np.array_equal(after[:64], pixels[:64])
    assert answer.size == "160x128"


async def test_the_official_client_gets_variations(mesh: LiveMesh) -> None:
    async with sdk(mesh) as client:
        with pytest.warns(DeprecationWarning, match="deprecated"):
            answer = await client.images.create_variation(model=MODEL, image=drawn()[0], n=2)
    validate_images(answer.to_dict())
    assert len({*opened(answer)}) == 2


async def test_a_picture_it_does_not_read_is_told(mesh: LiveMesh) -> None:
    picture = drawn()[0]
    async with sdk(mesh) as client:
        with pytest.raises(openai.BadRequestError, match="png, jpeg, webp") as caught:
            await client.images.edit(model=MODEL, image=b"GIF89a" + bytes(99), prompt=PROMPT)
        assert (caught.value.param, caught.value.code) == ("image", "invalid_image")
        with pytest.raises(openai.BadRequestError, match="1 picture at a time"):
            await client.images.edit(model=MODEL, image=[picture, picture], prompt=PROMPT)
        with pytest.raises(openai.BadRequestError, match="50000x50000"):
            await client.images.edit(model=MODEL, image=png_of(50_000, 50_000, 2, b""), prompt=PROMPT)
        assert opened(await client.images.generate(model=MODEL, prompt=PROMPT, size="64x64"))


async def test_words_it_was_never_taught_and_sizes_it_has_not_are_told(mesh: LiveMesh) -> None:
    async with sdk(mesh) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.images.generate(model=MODEL, prompt="a dragon")
        assert (caught.value.param, caught.value.code) == ("prompt", "invalid_value")
        assert "'dragon'" in caught.value.message
        assert "circle, square" in caught.value.message
        with pytest.raises(openai.BadRequestError, match="256x256") as caught:
            await client.images.generate(model=MODEL, prompt=PROMPT, size="1024x1024")
        with pytest.raises(openai.BadRequestError, match="b64_json"):
            await client.images.generate(model=MODEL, prompt=PROMPT, response_format="url")


def reference(file: bytes) -> dict[str, str]:
    return {"image_url": f"data:image/png;base64,{base64.b64encode(file).decode()}"}


WORK: dict[str, dict[str, object]] = {
    "generations": {"model": MODEL, "prompt": PROMPT, **LONG},
    "edits": {"model": MODEL, "prompt": PROMPT, "n": 10, "steps": 100, "images": [reference(drawn()[0])]},
}


@pytest.mark.parametrize("kind", WORK)
async def test_whoever_leaves_frees_the_painter(mesh: LiveMesh, kind: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{mesh.base_url}/images/{kind}", json=WORK[kind]) as answer,
    ):
        assert await answer.content.readany()
        (worker,) = painters(mesh)
        answer.close()
    await eventually(
        lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, what="its end"
    )


@pytest.mark.parametrize("kind", WORK)
async def test_a_killed_painter_is_no_picture(mesh: LiveMesh, kind: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{mesh.base_url}/images/{kind}", json=WORK[kind]) as answer,
    ):
        assert await answer.content.readany()
        for worker in painters(mesh):
            os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    async with sdk(mesh) as client:
        assert opened(await client.images.generate(model=MODEL, prompt=PROMPT))


async def test_the_command_paints_into_a_file(mesh: LiveMesh, tmp_path: Path) -> None:
    out = tmp_path / "out.jpg"
    ran = await nexus(mesh.layout.home, "image", PROMPT, "-o", str(out), "--size", "128x128", "--seed", "7")
    assert ran.code == 0, ran.err
    assert f"{out.stat().st_size:,} bytes of jpeg, 128x128; --seed 7" in ran.out
    made = await asyncio.to_thread(out.read_bytes)
    assert seen(made).pixels.shape == (128, 128, 3)
    picture, mask, pixels = drawn()
    for name, file in (("in.png", picture), ("mask.png", mask)):
        (tmp_path / name).write_bytes(file)
    edited, within = tmp_path / "edited.png", ("-i", str(tmp_path / "in.png"))
    masked = (*within, "--mask", str(tmp_path / "mask.png"))
    ran = await nexus(mesh.layout.home, "image", PROMPT, *masked, "-o", str(edited))
    assert ran.code == 0, ran.err
    assert np.array_equal(seen(edited.read_bytes()).pixels[64:], pixels[64:])
    (await nexus(mesh.layout.home, "image", PROMPT, *masked[2:], "-o", str(edited))).assert_refused(
        "-i in.png"
    )
    (await nexus(mesh.layout.home, "image", PROMPT, "-i", "none.png", "-o", str(edited))).assert_refused(
        "none.png cannot be read"
    )
    refused = await nexus(mesh.layout.home, "image", "a dragon", "-o", str(tmp_path / "no.png"))
    refused.assert_refused("dragon", "circle")
    (await nexus(mesh.layout.home, "image", PROMPT, "-o", str(tmp_path / "no.gif"))).assert_refused(
        "png, jpeg, webp"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"out.jpg", "in.png", "mask.png", "edited.png"}
