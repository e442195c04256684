"""Servers of OpenAI's videos API: jobs looked after to their end, fetched whole or not at all, never left running."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
import pytest_asyncio
from nexus.types.v1 import model_pb2
from nexus_inference_adapters.contract.work import Media, Progress
from nexus_inference_adapters.host.backend import Backend
from nexus_inference_adapters.kinds import openai_videos
from nexus_mesh.core.errors import MeshError, Reason
from support.adapter_host import Bench, envelope
from support.fake_videos import FILM, FakeVideos
from support.waiting import eventually

BODY: dict[str, Any] = {"prompt": "a lake", "seconds": "4", "size": "1280x720"}
PNG = b"\x89PNG\r\n\x1a\n picture"


@pytest_asyncio.fixture
async def fake(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeVideos]:
    monkeypatch.setattr(openai_videos, "POLL_SECONDS", 0.02)
    async with FakeVideos() as fake:
        yield fake


@pytest_asyncio.fixture
async def backend(bench: Bench, fake: FakeVideos) -> Backend:
    return await bench.serve("openai_videos", fake.url)


async def test_a_job_is_looked_after_and_its_video_fetched_whole(
    bench: Bench, backend: Backend, fake: FakeVideos
) -> None:
    more = {"steps": 20, "seed": 7, "negative_prompt": "fog"}
    made = await bench.stream(backend, {**BODY, **more}, "video")
    assert b"".join(media.data for media in made.media) == FILM
    assert (made.media[0].mime_type, made.media[0].size) == ("video/mp4", len(FILM))
    assert json.loads(made.media[-1].json) == {"size": "1280x720", "seconds": "4"}
    assert [(each.done, each.total, each.unit) for each in made.progress if each.total] == [
        (0, 100, "percent"), (45, 100, "percent"), (90, 100, "percent"),
    ]  # fmt: skip
    assert made.finish is not None
    assert made.finish.usage is not None
    assert made.finish.usage.output_seconds == 4
    assert fake.jobs[0].fields == {
        "model": "wan", "prompt": "a lake", "seconds": "4", "size": "1280x720", "num_inference_steps": "20",
        "seed": "7", "negative_prompt": "fog",
    }  # fmt: skip
    assert not fake.known, "it keeps nothing of what was asked"


async def test_the_picture_it_begins_with_goes_as_a_file(
    bench: Bench, backend: Backend, fake: FakeVideos
) -> None:
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    await bench.stream(backend, {**BODY, "input_reference": {"image_url": url}}, "video")
    assert fake.jobs[0].files == {"input_reference": ("image/png", PNG)}


FAILURES = {
    "fail": (Reason.UPSTREAM_ERROR, "CUDA out of memory"),
    "refuse": (Reason.CAPABILITY_MISSING, "5x5"),
    "cut": (Reason.BACKEND_LOST, "closed the connection"),
    "no_length": (Reason.UPSTREAM_MALFORMED, "length"),
    "text": (Reason.UPSTREAM_MALFORMED, "something else"),
    "forget": (Reason.BACKEND_LOST, "forgotten"),
    "odd": (Reason.UPSTREAM_MALFORMED, "dreaming"),
}


@pytest.mark.parametrize("mode", FAILURES)
async def test_what_goes_wrong_is_told_and_no_half_of_it_ends_well(
    bench: Bench, backend: Backend, fake: FakeVideos, mode: str
) -> None:
    fake.mode = mode
    reason, why = FAILURES[mode]
    with pytest.raises(MeshError) as caught:
        await bench.stream(backend, BODY, "video")
    assert (caught.value.reason, why in caught.value.message) == (reason, True), caught.value
    await eventually(lambda: not fake.known, what="nothing being left there")


async def test_a_server_that_dies_is_an_explicit_failure(
    bench: Bench, backend: Backend, fake: FakeVideos
) -> None:
    fake.mode = "hold"
    making = asyncio.create_task(bench.stream(backend, BODY, "video"))
    await eventually(lambda: fake.jobs and fake.jobs[0].looked, what="the job running")
    await fake.stop()
    with pytest.raises(MeshError) as caught:
        await making
    assert caught.value.reason in (Reason.BACKEND_DOWN, Reason.BACKEND_LOST)


async def test_a_moment_of_silence_is_no_death(bench: Bench, backend: Backend, fake: FakeVideos) -> None:
    fake.mode = "hold"
    making = asyncio.create_task(bench.stream(backend, BODY, "video"))
    await eventually(lambda: fake.jobs and fake.jobs[0].looked, what="the job running")
    port, known = fake.port, dict(fake.known)
    await fake.stop()
    fake.known |= known
    await fake.start(port)
    fake.let_go()
    made = await making
    assert b"".join(media.data for media in made.media) == FILM


async def test_who_gives_up_stops_the_job(backend: Backend, fake: FakeVideos) -> None:
    fake.mode = "hold"
    events = backend.stream(envelope(backend, BODY, "video"), dict(BODY))
    async with aclosing(events):
        async for event in events:
            assert isinstance(event, Progress)
            if event.done:
                break
        assert fake.known
    assert not fake.known


async def test_who_gives_up_while_it_is_fetched_leaves_nothing(backend: Backend, fake: FakeVideos) -> None:
    events = backend.stream(envelope(backend, BODY, "video"), dict(BODY))
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Media):
                break
    assert not fake.known


async def test_what_it_does_not_take_is_refused_by_name(
    bench: Bench, backend: Backend, fake: FakeVideos
) -> None:
    for more in ({"lora": "x"}, {"remix_video_id": "video_gen_1"}):
        with pytest.raises(MeshError) as caught:
            await bench.stream(backend, {**BODY, **more}, "video")
        assert caught.value.metadata["param"] == next(iter(more))
    assert fake.jobs == []


async def test_a_server_that_remixes_keeps_its_videos(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_videos, "POLL_SECONDS", 0.02)
    async with FakeVideos(remixes=True) as fake:
        backend = await bench.serve("openai_videos", fake.url)
        first = await bench.stream(backend, BODY, "video")
        theirs = json.loads(first.media[-1].json)["id"]
        assert theirs in fake.known
        again = await bench.stream(backend, {**BODY, "prompt": "at dusk", "remix_video_id": theirs}, "video")
        assert b"".join(media.data for media in again.media) == FILM
        assert (fake.jobs[1].remixed_from, fake.jobs[1].fields["prompt"]) == (theirs, "at dusk")


async def test_what_is_offered(backend: Backend) -> None:
    [offer] = backend.inspection.offers
    assert (offer.model.id, list(offer.model.operations)) == ("wan", [model_pb2.OPERATION_VIDEO])
