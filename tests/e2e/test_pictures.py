"""Pictures through a whole mesh of real processes, asked for by the official client and opened by a real decoder."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import openai
import psutil
import pytest
import pytest_asyncio
from openai.types import ImagesResponse
from support.e2e_cli import nexus
from support.e2e_mesh import listed_models, sdk
from support.live_mesh import LiveMesh, live_mesh
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


async def test_whoever_leaves_frees_the_painter(mesh: LiveMesh) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{mesh.base_url}/images/generations", json={"model": MODEL, "prompt": PROMPT, **LONG}
        ) as answer,
    ):
        assert await answer.content.readany()
        (worker,) = painters(mesh)
        answer.close()
    await eventually(
        lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, what="its end"
    )


async def test_a_killed_painter_is_no_picture(mesh: LiveMesh) -> None:
    body = {"model": MODEL, "prompt": PROMPT, **LONG}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{mesh.base_url}/images/generations", json=body) as answer,
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
    refused = await nexus(mesh.layout.home, "image", "a dragon", "-o", str(tmp_path / "no.png"))
    refused.assert_refused("dragon", "circle")
    (await nexus(mesh.layout.home, "image", PROMPT, "-o", str(tmp_path / "no.gif"))).assert_refused(
        "png, jpeg, webp"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["out.jpg"]
