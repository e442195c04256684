"""The voice in the box: a real library in a real process, and what comes of it opened by a real decoder."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import numpy as np
import psutil
import pytest
import pytest_asyncio
from nexus_inference_adapters.contract import Event, Finish, Media, Progress
from nexus_inference_adapters.host.backend import Backend
from nexus_inference_adapters.kinds.espeak import Espeak
from nexus_mesh.core import MeshError, Reason
from nexus_operations import AUDIO
from support.adapter_host import adapter_bench, envelope
from support.sounds import heard
from support.waiting import eventually

TEXT = "The quick brown fox jumps over the lazy dog. It does so every day."
BODY: dict[str, Any] = {"input": TEXT, "voice": "en-us", "response_format": "wav"}
CONTAINERS = {"mp3": ("mp3", 24_000), "opus": ("ogg", 48_000), "aac": ("aac", 24_000), "flac": ("flac", 22_050),
              "wav": ("wav", 22_050)}  # fmt: skip


@pytest_asyncio.fixture
async def espeak() -> AsyncIterator[Backend]:
    async with adapter_bench() as bench:
        yield await bench.serve("espeak")


async def spoken(backend: Backend, **more: Any) -> tuple[bytes, list[Event]]:
    """The sound, and all events."""
    body = {**BODY, **more}
    events = [event async for event in backend.stream(envelope(backend, body, "speech"), body)]
    return b"".join(event.data for event in events if isinstance(event, Media)), events


@pytest.mark.parametrize("form", CONTAINERS)
async def test_every_format_is_what_it_says(espeak: Backend, form: str) -> None:
    sound, events = await spoken(espeak, response_format=form)
    made = heard(sound)
    assert (made.container, made.rate, made.channels) == (*CONTAINERS[form], 1)
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.usage is not None
    assert made.seconds == pytest.approx(finish.usage.output_seconds, abs=0.15)
    assert finish.usage.output_seconds > 3
    assert finish.usage.input_characters == len(TEXT)
    assert 0.02 < made.loudness < 0.5
    types = [event.mime_type for event in events if isinstance(event, Media)]
    assert types[0] == AUDIO[form]
    assert not any(types[1:])


async def test_pcm_is_openai_s(espeak: Backend) -> None:
    sound, events = await spoken(espeak, response_format="pcm")
    assert isinstance(events[0], Media)
    assert events[0].mime_type == "audio/pcm;rate=24000;channels=1"
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.usage is not None
    assert len(sound) / 2 / 24_000 == pytest.approx(finish.usage.output_seconds, abs=0.05)
    assert np.abs(np.frombuffer(sound, "<i2")).mean() > 300


async def test_a_wave_file_says_that_its_length_is_not_known(espeak: Backend) -> None:
    sound, _ = await spoken(espeak)
    assert sound[4:8] == sound[40:44] == b"\xff\xff\xff\xff"


async def test_its_voices_are_the_library_s_and_differ(espeak: Backend) -> None:
    offer = espeak.inspection.offers[0]
    assert offer.model.id == "espeak-ng"
    text = offer.model.parameters[0].schema
    assert '{"const":"de","title":"German","languages":["de"]}' in text
    assert text.count('"const"') > 100
    english, _ = await spoken(espeak)
    german, _ = await spoken(espeak, voice="de")
    assert english != german


async def test_speed_is_kept_to(espeak: Backend) -> None:
    lengths = [len((await spoken(espeak, speed=speed))[0]) for speed in (0.5, 1, 2.5)]
    assert lengths[0] / lengths[1] == pytest.approx(2, rel=0.25)
    assert lengths[1] / lengths[2] == pytest.approx(2.5, rel=0.25)


@pytest.mark.parametrize(
    ("change", "param", "said"),
    [
        ({"voice": "alloy"}, "voice", "en-gb, en-gb-scotland"),
        ({"speed": 3.0}, "speed", "between 0.5 and 2.5"),
        ({"response_format": "ogg"}, "response_format", "mp3, opus, aac, flac, wav, pcm"),
        ({"instructions": "sing"}, "instructions", "voice"),
    ],
)
async def test_what_it_cannot_do_is_refused(
    espeak: Backend, change: dict[str, Any], param: str, said: str
) -> None:
    with pytest.raises(MeshError) as caught:
        await spoken(espeak, **change)
    assert caught.value.metadata["param"] == param
    assert said in caught.value.message


@pytest.mark.security
async def test_no_text_is_a_command(espeak: Backend) -> None:
    """Control characters command the library, angle brackets are markup, double brackets phonemes: elsewhere."""
    plain, _ = await spoken(espeak, input="one two")
    commanded, _ = await spoken(espeak, input="one \x0120S two")
    assert len(commanded) == pytest.approx(len((await spoken(espeak, input="one 20S two"))[0]), rel=0.1)
    tagged, _ = await spoken(espeak, input='<audio src="/etc/passwd"/>one two')
    assert len(tagged) > len(plain)


def adapter_of(backend: Backend) -> Espeak:
    assert isinstance(backend.adapter, Espeak)
    return backend.adapter


async def test_nobody_is_there_until_somebody_asks(espeak: Backend) -> None:
    assert adapter_of(espeak).processes == []
    await spoken(espeak)
    assert len(adapter_of(espeak).processes) == 1
    first = adapter_of(espeak).processes
    await spoken(espeak)
    assert adapter_of(espeak).processes == first


@pytest.mark.security
async def test_its_process_may_do_little_and_knows_no_secret(
    espeak: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_TEST_SECRET", "very secret")
    await spoken(espeak)
    process = psutil.Process(adapter_of(espeak).processes[0])
    assert process.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
    assert process.rlimit(psutil.RLIMIT_AS)[0] <= 2 << 30
    assert "NEXUS_TEST_SECRET" not in process.environ()
    assert process.net_connections() == []


async def test_whoever_leaves_frees_it(espeak: Backend) -> None:
    body = {**BODY, "input": TEXT * 400}
    async with aclosing(espeak.stream(envelope(espeak, body, "speech"), body)) as events:
        await anext(events)
        (pid,) = adapter_of(espeak).processes
    assert adapter_of(espeak).processes == []
    assert espeak.gate.active == 0
    await eventually(lambda: not psutil.pid_exists(pid) or _is_dead(pid), what="its end")


def _is_dead(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


async def test_a_killed_engine_is_an_error_and_the_next_request_has_another(espeak: Backend) -> None:
    body = {**BODY, "input": TEXT * 400}
    events = espeak.stream(envelope(espeak, body, "speech"), body)
    assert isinstance(await anext(events), Media)
    os.kill(adapter_of(espeak).processes[0], signal.SIGKILL)
    with pytest.raises(MeshError) as caught:
        [event async for event in events]
    assert caught.value.reason is Reason.BACKEND_LOST
    assert (await spoken(espeak))[0]


async def test_a_long_text_tells_how_far_it_is(espeak: Backend) -> None:
    _, events = await spoken(espeak, input=TEXT * 300, response_format="mp3")
    told = [event for event in events if isinstance(event, Progress)]
    assert all(0 < event.done <= event.total == 300 * len(TEXT) for event in told)
    assert [event.done for event in told] == sorted(event.done for event in told)
    assert {event.unit for event in told} <= {"characters"}
