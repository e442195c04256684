"""The painter in the box: a real process, and pictures that a decoder of their own opens."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import numpy as np
import psutil
import pytest
import pytest_asyncio
from nexus_inference_adapters.contract import Finish, Media, Progress
from nexus_inference_adapters.host.backend import Backend
from nexus_inference_adapters.kinds.painter import Painter
from nexus_mesh.core import MeshError, Reason
from nexus_operations import PICTURES
from support.adapter_host import adapter_bench, envelope
from support.seen import seen

PROMPT = "a red circle on a blue background"
BODY: dict[str, Any] = {"prompt": PROMPT, "size": "64x64", "steps": 8, "seed": 7}


@pytest_asyncio.fixture
async def painter() -> AsyncIterator[Backend]:
    async with adapter_bench() as bench:
        yield await bench.serve("painter")


async def drawn(backend: Backend, **more: Any) -> tuple[list[Media], list[Progress]]:
    """What came of it, each output and preview as one."""
    body = {**BODY, **more}
    wholes: list[Media] = []
    progress: list[Progress] = []
    pieces, kind, size = b"", "", None
    async for event in backend.stream(envelope(backend, body, "image"), body):
        if isinstance(event, Progress):
            progress.append(event)
        elif isinstance(event, Media):
            if event.mime_type:
                kind, size = event.mime_type, event.size
            pieces += event.data
            if event.last:
                assert len(pieces) == size
                wholes.append(Media(pieces, event.index, event.preview, kind, json=event.json))
                pieces = b""
        else:
            assert isinstance(event, Finish)
            assert event.usage is not None
            assert event.usage.output_images == body.get("n", 1)
    return wholes, progress


def adapter_of(backend: Backend) -> Painter:
    assert isinstance(backend.adapter, Painter)
    return backend.adapter


@pytest.mark.parametrize("form", PICTURES)
async def test_every_format_is_what_it_says(painter: Backend, form: str) -> None:
    """And shows the same: a red thing in the middle of blue."""
    ((picture,), _) = await drawn(painter, output_format=form, size="128x128", steps=16)
    assert picture.mime_type == PICTURES[form]
    made = seen(picture.data)
    assert (made.codec, made.pixels.shape) == (
        {"png": "png", "jpeg": "mjpeg", "webp": "webp"}[form],
        (128, 128, 3),
    )
    corner = made.pixels[:6, :6].mean((0, 1))
    assert corner[2] > corner[0] + 40
    reds = (made.pixels[..., 0].astype(int) > made.pixels[..., 2].astype(int) + 60).mean()
    assert 0.02 < reds < 0.7
    told = json.loads(picture.json)
    assert told == {"size": "128x128", "background": "opaque", "quality": "auto", "seed": 7}


async def test_the_same_seed_paints_the_same_bits_in_another_process_too(painter: Backend) -> None:
    first, _ = await drawn(painter, n=2)
    await adapter_of(painter).close()
    second, _ = await drawn(painter, n=2)
    assert [one.data for one in first] == [one.data for one in second]
    assert first[0].data != first[1].data
    ((other,), _) = await drawn(painter, seed=8)
    assert other.data == first[1].data
    assert [json.loads(one.json)["seed"] for one in first] == [7, 8]


async def test_without_a_seed_chance_has_one_and_tells_it(painter: Backend) -> None:
    body = {key: value for key, value in BODY.items() if key != "seed"}
    told = []
    for _ in range(2):
        events = [event async for event in painter.stream(envelope(painter, body, "image"), body)]
        last = [event for event in events if isinstance(event, Media)][-1]
        told.append((json.loads(last.json)["seed"], events))
    assert told[0][0] != told[1][0]


async def test_it_is_seen_on_its_way(painter: Backend) -> None:
    looks, progress = await drawn(painter, partial_images=3)
    assert [look.preview for look in looks] == [0, 1, 2, None]
    assert [(each.done, each.total, each.unit) for each in progress] == [
        (at, 8, "steps") for at in range(1, 9)
    ]
    final = seen(looks[-1].data).pixels.astype(int)
    away = [np.abs(seen(look.data).pixels.astype(int) - final).mean() for look in looks]
    assert away[0] > away[2] > away[3] == 0


async def test_compression_is_kept_to(painter: Backend) -> None:
    for form in ("jpeg", "webp"):
        sizes = [
            len((await drawn(painter, output_format=form, output_compression=each))[0][0].data)
            for each in (5, 50, 100)
        ]
        assert sizes == sorted(set(sizes)), form


@pytest.mark.parametrize(
    ("change", "param", "said"),
    [
        ({"prompt": "a dragon on a red bicycle"}, "prompt", "never taught 'dragon', 'bicycle'"),
        ({"prompt": "a dragon"}, "prompt", "circle, square"),
        ({"prompt": "red"}, "prompt", "names nothing that can be painted"),
        ({"size": "1024x1024"}, "size", "256x256"),
        ({"size": "64x128"}, "size", "256x256"),
        ({"quality": "max"}, "quality", "low, standard"),
        ({"background": "transparent"}, "background", "auto, opaque"),
        ({"style": "vivid"}, "style", "prompt"),
        ({"steps": 101}, "steps", "between 1 and 100"),
    ],
)
async def test_what_it_cannot_do_is_refused(
    painter: Backend, change: dict[str, Any], param: str, said: str
) -> None:
    with pytest.raises(MeshError) as caught:
        await drawn(painter, **change)
    assert caught.value.reason in (Reason.INVALID_REQUEST, Reason.UNSUPPORTED_PARAMETER)
    assert caught.value.metadata["param"] == param
    assert said in caught.value.message
    assert (await drawn(painter, steps=1))[0], "it goes on"


async def test_nobody_is_there_until_somebody_asks(painter: Backend) -> None:
    assert adapter_of(painter).processes == []
    await drawn(painter)
    assert len(adapter_of(painter).processes) == 1


@pytest.mark.security
async def test_its_process_may_do_little_and_knows_no_secret(
    painter: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_TEST_SECRET", "very secret")
    await drawn(painter)
    process = psutil.Process(adapter_of(painter).processes[0])
    assert process.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
    assert process.rlimit(psutil.RLIMIT_AS)[0] <= 2 << 30
    assert "NEXUS_TEST_SECRET" not in process.environ()
    assert process.net_connections() == []


async def test_whoever_leaves_between_two_steps_frees_it(painter: Backend) -> None:
    body = {**BODY, "steps": 100, "n": 10}
    async with aclosing(painter.stream(envelope(painter, body, "image"), body)) as events:
        await anext(events)
        assert len(adapter_of(painter).processes) == 1
    assert adapter_of(painter).processes == []
    assert painter.gate.active == 0


async def test_a_killed_engine_is_an_error_and_the_next_request_has_another(painter: Backend) -> None:
    body = {**BODY, "steps": 100, "n": 10}
    events = painter.stream(envelope(painter, body, "image"), body)
    await anext(events)
    os.kill(adapter_of(painter).processes[0], signal.SIGKILL)
    with pytest.raises(MeshError) as caught:
        [event async for event in events]
    assert caught.value.reason is Reason.BACKEND_LOST
    assert (await drawn(painter))[0]
