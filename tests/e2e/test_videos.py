"""Videos by the official client through real processes; through kills of store, adapter, gateway and engine."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import av
import openai
import pytest
import pytest_asyncio
from openai.types import Video
from support.e2e_cli import nexus
from support.e2e_mesh import engine, sdk, serving
from support.fake_videos import FILM, FakeVideos
from support.live_mesh import LiveMesh
from support.waiting import eventually

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:The Sora API is scheduled"),
]
MODEL, PAINTER = "wan", "nexus-painter"
STORE = "[store]\nwork_share = 1\nwork_slots = 4\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[FakeVideos]:
    async with FakeVideos(MODEL) as fake:
        yield fake


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory, server: FakeVideos) -> AsyncIterator[LiveMesh]:
    config = engine("openai_videos", "film", server.url) + STORE
    home = tmp_path_factory.mktemp("videos")
    async with serving(home, config, MODEL, PAINTER, painter=True) as running:
        yield running


@pytest.fixture
def fake(server: FakeVideos) -> FakeVideos:
    """With nothing of the tests before."""
    server.mode = "ok"
    server.jobs.clear()
    server.known.clear()
    server.hold()
    return server


async def created(client: openai.AsyncOpenAI, prompt: str = "a lake") -> str:
    """The id of a video; the store is found a moment after it is there."""
    found: list[str] = []

    async def is_taken() -> bool:
        with suppress(openai.InternalServerError):
            found.append((await client.videos.create(model=MODEL, prompt=prompt)).id)
        return bool(found)

    await eventually(is_taken, timeout=30, what="the store taking it")
    return found[0]


async def completed(client: openai.AsyncOpenAI, video_id: str) -> Video:
    """As it is once it is over. Whoever is killed meanwhile is no failure of the client's."""
    last: list[Video] = []

    async def is_over() -> bool:
        try:
            last.append(await client.videos.retrieve(video_id))
        except (openai.InternalServerError, openai.APIConnectionError):
            return False  # whoever it was is away
        return last[-1].status in ("completed", "failed")

    await eventually(is_over, timeout=90, what="the video")
    return last[-1]


async def running(fake: FakeVideos) -> None:
    await eventually(lambda: fake.jobs and fake.jobs[-1].looked, timeout=30, what="the engine at work")


async def test_the_official_client_has_one_made(mesh: LiveMesh, fake: FakeVideos) -> None:
    async with sdk(mesh) as client:
        video_id = await created(client)
        done = await client.videos.poll(video_id, poll_interval_ms=200)
        assert (done.status, done.progress, done.error) == ("completed", 100, None)
        assert (await client.videos.download_content(video_id)).content == FILM
        assert [video.id async for video in client.videos.list()] == [video_id]
        await client.videos.delete(video_id)
    assert not fake.known


async def test_a_killed_store_goes_on_with_it(mesh: LiveMesh, fake: FakeVideos) -> None:
    fake.mode = "hold"
    async with sdk(mesh) as client:
        video_id = await created(client)
        await running(fake)
        mesh.kill("store")
        await eventually(lambda: not fake.known, timeout=30, what="the engine being free")
        mesh.revive("store")
        fake.let_go()
        assert (await completed(client, video_id)).status == "completed"
        assert (await client.videos.download_content(video_id)).content == FILM
        assert [video.id async for video in client.videos.list()] == [video_id], "and once"
        await client.videos.delete(video_id)
    assert len(fake.jobs) == 2


async def test_a_killed_adapter_or_gateway_is_another_attempt(mesh: LiveMesh, fake: FakeVideos) -> None:
    async with sdk(mesh) as client:
        for unit in ("adapter", "gateway"):
            fake.mode = "hold"
            fake.hold()
            video_id = await created(client)
            await running(fake)
            mesh.kill(unit)
            await eventually(lambda unit=unit: not mesh.running(unit), timeout=10, what=f"the end of {unit}")
            mesh.revive(unit)
            fake.let_go()
            done = await completed(client, video_id)
            assert done.status == "completed", done.error
            assert (await client.videos.download_content(video_id)).content == FILM
            await client.videos.delete(video_id)


async def test_a_killed_engine_is_another_attempt_or_an_explicit_failure(
    mesh: LiveMesh, fake: FakeVideos
) -> None:
    fake.mode = "hold"
    async with sdk(mesh) as client:
        video_id = await created(client)
        await running(fake)
        port = fake.port
        await fake.stop()
        fake.mode = "ok"
        await fake.start(port)
        done = await completed(client, video_id)
        assert done.status == "completed", done.error
        assert (await client.videos.download_content(video_id)).content == FILM
        fake.mode = "cut"
        failed = await completed(client, await created(client))
        assert failed.status == "failed"
        assert failed.error is not None
        assert failed.error.code == "backend_lost"
        with pytest.raises(openai.NotFoundError):
            await client.videos.download_content(failed.id)


async def test_ten_jobs_of_one_tenant_run_one_after_the_other(mesh: LiveMesh, fake: FakeVideos) -> None:
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, len(fake.known))
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    async with sdk(mesh) as client:
        ids = [await created(client, f"number {at}") for at in range(10)]
        for video_id in ids:
            assert (await completed(client, video_id)).status == "completed"
    watching.cancel()
    assert most == 1
    assert [job.fields["prompt"] for job in fake.jobs] == [f"number {at}" for at in range(10)]


async def test_deleted_in_the_middle_the_engine_is_free(mesh: LiveMesh, fake: FakeVideos) -> None:
    fake.mode = "hold"
    async with sdk(mesh) as client:
        video_id = await created(client)
        await running(fake)
        await client.videos.delete(video_id)
        await eventually(lambda: not fake.known, timeout=10, what="the engine being free")


def frames(data: bytes) -> int:
    with av.open(io.BytesIO(data), "r") as container:
        return sum(1 for _ in container.decode(video=0))


async def test_the_painter_makes_one_without_any_server(mesh: LiveMesh) -> None:
    async with sdk(mesh) as client:
        made = await client.videos.create_and_poll(
            model=PAINTER, prompt="a red circle", extra_body={"seed": 7, "seconds": "1"}, poll_interval_ms=200
        )
        assert (made.status, made.size, made.seconds) == ("completed", "256x256", "1"), made.error
        film = (await client.videos.download_content(made.id)).content
        assert frames(film) == 12
        for variant in ("thumbnail", "spritesheet"):
            assert frames((await client.videos.download_content(made.id, variant=variant)).content) == 1
        again = await client.videos.remix(made.id, prompt="a green star")
        other = await client.videos.poll(again.id, poll_interval_ms=200)
        assert (other.status, other.remixed_from_video_id) == ("completed", made.id), other.error
        remixed = (await client.videos.download_content(other.id)).content
        assert frames(remixed) == 12
        assert remixed != film
        with pytest.raises(openai.BadRequestError) as refused:
            await client.videos.create(model=PAINTER, prompt="a red circle", seconds="12")
        assert "1, 2, 3, 4" in refused.value.message


async def test_nexus_video_writes_a_whole_one_or_none(mesh: LiveMesh, tmp_path: Path) -> None:
    home, out, none = mesh.layout.home, tmp_path / "out.mp4", tmp_path / "no.mp4"
    asked = ("--seconds", "1", "--size", "64x64", "--seed", "7")
    ran = await nexus(home, "video", "a red circle", "-o", str(out), *asked)
    assert (ran.code, "64x64" in ran.out, frames(out.read_bytes())) == (0, True, 12), ran
    told = json.loads((await nexus(home, "video", "a red circle", "-o", str(out), *asked, "--json")).out)
    assert (told["bytes"], told["seconds"]) == (out.stat().st_size, "1")
    refused = await nexus(home, "video", "a dragon", "-o", str(none))
    refused.assert_refused("dragon")
    assert not none.exists()
