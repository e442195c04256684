"""The painter at pictures that there are: a real process, which reads them and nothing else."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator
from nexus_inference_adapters.children import Workers
from nexus_inference_adapters.contract import Finish, Media, Progress
from nexus_inference_adapters.host.backend import Backend
from nexus_inference_adapters.kinds.painter import Painter
from nexus_inference_adapters.media import as_file
from nexus_inference_adapters.vocabulary import IMAGE_EDIT, IMAGE_VARIATION
from nexus_mesh.core import MeshError, Reason
from numpy.typing import NDArray
from support.adapter_host import adapter_bench
from support.adapter_uploads import Files, uploaded
from support.jpeg import many_scans
from support.png import chunk, png, png_of
from support.seen import seen

Pixels = NDArray[np.uint8]
BODY: dict[str, Any] = {"prompt": "a blue square on a white background", "steps": 8, "seed": 7}
HIGH, WIDE = 100, 150


def circle() -> Pixels:
    """Red on white, at the left."""
    y, x = np.mgrid[:HIGH, :WIDE]
    picture = np.full((HIGH, WIDE, 3), 255, np.uint8)
    picture[(y - 50) ** 2 + (x - 40) ** 2 < 30**2] = (230, 30, 30)
    return picture


def mask() -> Pixels:
    """For the right half."""
    made = np.full((HIGH, WIDE, 4), 255, np.uint8)
    made[:, WIDE // 2 :, 3] = 0
    return made


CIRCLE, MASK = circle(), mask()
PICTURE: Files = [("image", png(CIRCLE))]
MASKED: Files = [*PICTURE, ("mask", png(MASK))]


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def painter() -> AsyncIterator[Backend]:
    async with adapter_bench() as bench:
        yield await bench.serve("painter")


async def painted(
    backend: Backend, files: Files, operation: str = "image_edit", **more: Any
) -> list[tuple[Pixels, dict[str, Any], int | None]]:
    """Pixels, what is told of them, and whether it is a preview."""
    body = {name: value for name, value in {**BODY, **more}.items() if value is not None}
    wholes: list[tuple[Pixels, dict[str, Any], int | None]] = []
    pieces = b""
    async for event in uploaded(backend, body, operation, files):
        if isinstance(event, Media):
            pieces += event.data
            if event.last:
                wholes.append((seen(pieces).pixels, json.loads(event.json), event.preview))
                pieces = b""
        elif isinstance(event, Finish):
            assert event.usage is not None
            assert (event.usage.input_images, event.usage.output_images) == (1, body.get("n", 1))
    return wholes


def processes(backend: Backend) -> list[int]:
    assert isinstance(backend.adapter, Painter)
    return backend.adapter.processes


def away(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(int) - other).mean())


async def test_only_what_the_mask_leaves_transparent_changes(painter: Backend) -> None:
    ((after, told, _),) = await painted(painter, MASKED, steps=16)
    assert told == {"size": f"{WIDE}x{HIGH}", "background": "opaque", "quality": "auto", "seed": 7}
    half = WIDE // 2
    assert np.array_equal(after[:, :half], CIRCLE[:, :half])
    new = after[:, half:].astype(int)
    assert ((new[..., 2] > new[..., 0] + 60).mean()) > 0.1, "it is blue where it was to be"


async def test_every_look_at_it_keeps_what_stays(painter: Backend) -> None:
    looks = await painted(painter, MASKED, partial_images=2, n=2)
    assert [preview for _, _, preview in looks] == [0, 1, None, 0, 1, None]
    assert all(np.array_equal(each[:, : WIDE // 2], CIRCLE[:, : WIDE // 2]) for each, _, _ in looks)
    assert [told["seed"] for _, told, _ in looks] == [7] * 3 + [8] * 3


async def test_what_is_transparent_in_the_picture_is_its_mask_where_there_is_none(painter: Backend) -> None:
    picture = np.concatenate([CIRCLE, MASK[..., 3:]], 2)
    ((after, _, _),) = await painted(painter, [("image", png(picture))])
    assert np.array_equal(after[:, : WIDE // 2], CIRCLE[:, : WIDE // 2])
    assert not np.array_equal(after[:, WIDE // 2 :], CIRCLE[:, WIDE // 2 :])


async def test_a_weak_change_is_a_small_one(painter: Backend) -> None:
    changes = {
        name: away((await painted(painter, PICTURE, **given))[0][0], CIRCLE)
        for name, given in {
            "weak": {"strength": 0.05},
            "high": {"input_fidelity": "high"},
            "all": {"strength": 1},
        }.items()
    }
    assert changes["weak"] < changes["all"] / 3
    assert changes["weak"] < changes["high"] < changes["all"]


async def test_variations_are_like_it_and_not_like_each_other(painter: Backend) -> None:
    files: Files = [("image", png(CIRCLE))]
    made = await painted(painter, files, "image_variation", prompt=None, n=2, strength=0.5)
    (one, told, _), (other, _, _) = made
    assert told["size"] == f"{WIDE}x{HIGH}"
    assert not np.array_equal(one, other)
    empty = np.full_like(CIRCLE, 255)
    assert max(away(one, CIRCLE), away(other, CIRCLE)) < away(empty, CIRCLE) / 2
    assert [
        each.tobytes()
        for each, _, _ in await painted(painter, files, "image_variation", prompt=None, n=2, strength=0.5)
    ] == [one.tobytes(), other.tobytes()]


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
async def test_any_format_goes_in_and_out(painter: Backend, form: str) -> None:
    files: Files = [("image", as_file(CIRCLE[:100, :100].copy(), form))]
    ((after, told, _),) = await painted(painter, files, output_format=form, size="128x128", strength=0.05)
    assert (after.shape, told["size"]) == ((128, 128, 3), "128x128")
    assert (after[64, 50] > (150, 0, 0)).all()
    assert (after[64, 50] < (256, 110, 110)).all()


SMALL = png(CIRCLE[:63])
REFUSED: list[tuple[Files, dict[str, Any], str, str, str]] = [
    ([*PICTURE, *PICTURE], {}, "image", "invalid_value", "1 picture at a time, and 2 were sent"),
    ([("image", b"GIF89a" + bytes(20))], {}, "image", "invalid_image", "There are: png, jpeg, webp"),
    ([("image", SMALL)], {}, "image", "invalid_image", "pictures of 64 to 2048 pixels a side"),
    ([("image", png_of(50_000, 50_000, 2, b""))], {}, "image", "invalid_image", "50000x50000"),
    ([("image", png(CIRCLE, [chunk(b"acTL", bytes(8))]))], {}, "image", "invalid_image", "stands still"),
    ([("image", png(CIRCLE)[:-200])], {}, "image", "invalid_image", "not whole"),
    ([*PICTURE, ("mask", b"x")], {}, "mask", "invalid_image", "'mask' is no picture"),
    (
        [*PICTURE, ("mask", png(MASK[:, 1:]))],
        {},
        "mask",
        "invalid_value",
        "149x100 pixels, and the picture 150x100",
    ),
    ([*PICTURE, ("mask", png(CIRCLE))], {}, "mask", "invalid_value", "transparent nowhere"),
    (PICTURE, {"size": "128x128"}, "size", "invalid_value", "must be auto for a picture of 150x100"),
    (PICTURE, {"size": "1024x1024"}, "size", "invalid_value", "512x512"),
    (PICTURE, {"prompt": "a dragon"}, "prompt", "invalid_value", "never taught 'dragon'"),
    (PICTURE, {"strength": 0}, "strength", "invalid_value", "between 0.01 and 1"),
    (PICTURE, {"background": "transparent"}, "background", "invalid_value", "auto, opaque"),
]


@pytest.mark.security
@pytest.mark.parametrize(("files", "change", "param", "code", "said"), REFUSED)
async def test_what_it_cannot_do_is_refused(
    painter: Backend, files: Files, change: dict[str, Any], param: str, code: str, said: str
) -> None:
    with pytest.raises(MeshError) as caught:
        await painted(painter, files, **change)
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert (caught.value.metadata["param"], caught.value.metadata["code"]) == (param, code)
    assert said in caught.value.message


async def test_a_variation_takes_no_prompt(painter: Backend) -> None:
    with pytest.raises(MeshError, match="does not take 'prompt'"):
        await painted(painter, PICTURE, "image_variation")


@pytest.mark.security
async def test_the_process_that_has_read_a_strangers_picture_works_for_nobody_else(painter: Backend) -> None:
    """And while it does it has no network, no files and little memory."""
    async with aclosing(uploaded(painter, {**BODY, "n": 10}, "image_edit", PICTURE)) as events:
        async for event in events:
            if isinstance(event, Media):
                break
        (pid,) = processes(painter)
        process = psutil.Process(pid)
        assert process.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
        assert process.rlimit(psutil.RLIMIT_AS)[0] <= 2 << 30
        assert process.memory_info().rss < 512 << 20
    assert pid not in processes(painter)
    await painted(painter, PICTURE)
    assert processes(painter) == []


async def test_whoever_leaves_in_the_middle_frees_it(painter: Backend) -> None:
    async with aclosing(uploaded(painter, {**BODY, "n": 10, "steps": 100}, "image_edit", PICTURE)) as events:
        async for event in events:
            if isinstance(event, Progress) and event.unit == "steps":
                break
        assert len(processes(painter)) == 1
    assert processes(painter) == []
    assert painter.gate.active == 0


async def test_a_killed_engine_is_an_error(painter: Backend) -> None:
    events = uploaded(painter, {**BODY, "n": 10, "steps": 100}, "image_edit", PICTURE)
    async for event in events:
        if isinstance(event, Progress) and event.unit == "steps":
            break
    os.kill(processes(painter)[0], signal.SIGKILL)
    with pytest.raises(MeshError) as caught:
        [event async for event in events]
    assert caught.value.reason is Reason.BACKEND_LOST
    assert await painted(painter, PICTURE)


@pytest.mark.security
async def test_a_picture_that_takes_all_the_time_there_is_is_to_blame_itself(painter: Backend) -> None:
    """Seven megabytes that would take a minute."""
    with pytest.raises(MeshError) as caught:
        await painted(painter, [("image", many_scans(400_000))])
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert caught.value.metadata == {"param": "image", "code": "invalid_image"}
    assert "takes too long to read" in caught.value.message


async def test_one_that_is_killed_while_it_reads_is_not(
    painter: Backend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "reading.py"
    program.write_text("import os, signal\nos.read(0, 1)\nos.kill(os.getpid(), signal.SIGKILL)\n")
    monkeypatch.setattr(painter.adapter, "_workers", Workers([str(program)]))
    with pytest.raises(MeshError) as caught:
        await painted(painter, PICTURE)
    assert caught.value.reason is Reason.BACKEND_LOST


async def test_its_catalogue_describes_each_kind_of_work(painter: Backend) -> None:
    (offer,) = painter.inspection.offers
    told = {each.operation: json.loads(each.schema) for each in offer.model.parameters}
    for schema in told.values():
        Draft202012Validator.check_schema(schema)
    assert {"image", "mask", "prompt", "strength"} <= told[IMAGE_EDIT]["properties"].keys()
    assert told[IMAGE_EDIT]["required"] == ["image", "prompt"]
    assert "prompt" not in told[IMAGE_VARIATION]["properties"]
