"""Piper's HTTP server: no voice but the one that was asked for, every format, and no half of a sound."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from nexus_inference_adapters.contract import Event, Finish, Media, open_session
from nexus_inference_adapters.discovery.probing import probe
from nexus_inference_adapters.host.backend import Backend
from nexus_mesh.core import MeshError, Reason
from support.adapter_host import Bench, envelope
from support.fake_piper_http import FakePiperHttp, Way
from support.sounds import heard
from support.waiting import eventually

BODY: dict[str, Any] = {"input": "Hello.", "voice": "en_US-joe-medium", "response_format": "wav"}
CONTAINERS = {"mp3": "mp3", "opus": "ogg", "aac": "aac", "flac": "flac", "wav": "wav"}


@pytest.fixture
async def piper() -> AsyncIterator[FakePiperHttp]:
    async with FakePiperHttp() as fake:
        yield fake


async def spoken(backend: Backend, **more: Any) -> tuple[bytes, list[Event]]:
    body = {**BODY, **more}
    async with aclosing(backend.stream(envelope(backend, body, "speech"), body)) as stream:
        events = [event async for event in stream]
    return b"".join(event.data for event in events if isinstance(event, Media)), events


@pytest.mark.parametrize("form", CONTAINERS)
async def test_every_format_is_made_of_its_wave(bench: Bench, piper: FakePiperHttp, form: str) -> None:
    backend = await bench.serve("piper_http", piper.url)
    sound, events = await spoken(backend, response_format=form)
    made = heard(sound)
    assert made.container == CONTAINERS[form]
    assert made.seconds == pytest.approx(2, abs=0.1)
    assert made.loudness > 0.1
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.usage is not None
    assert finish.usage.output_seconds == pytest.approx(2)


async def test_voices_are_asked_for_by_names_that_find_them(bench: Bench, piper: FakePiperHttp) -> None:
    """The server eats letters of its names, and speaks in its first voice for names that it does not know."""
    backend = await bench.serve("piper_http", piper.url)
    for voice in ("en_US-joe-medium", "en_US-fox-fusion", "en_GB-vctk-medium", "en_GB-vctk-medium:p2"):
        await spoken(backend, voice=voice)
    joe, fox, vctk, second = piper.spoken
    assert (joe, fox) == (("en_US-joe-medium", None), ("en_US-fox-fusion", None))
    assert (vctk, second) == (("en_GB-vctk-medium", None), ("en_GB-vctk-medium", "p2"))
    assert "glad" in backend.inspection.reason
    told = await bench.serve("piper_http", piper.url, voices=("glados",))
    await spoken(told, voice="glados")
    assert piper.spoken[-1] == ("glados", None)


async def test_speed_is_told_as_length(bench: Bench, piper: FakePiperHttp) -> None:
    backend = await bench.serve("piper_http", piper.url)
    await spoken(backend, speed=0.5)
    assert piper.requests[-1].body["length_scale"] > 2
    assert "voice" not in piper.requests[-1].body


@pytest.mark.parametrize(
    ("change", "param", "said"),
    [
        ({"voice": "alloy"}, "voice", "en_US-joe-medium, en_GB-vctk-medium"),
        ({"voice": "glad"}, "voice", "en_US-fox-fusion"),
        ({"speed": 3}, "speed", "between 0.5 and 2"),
    ],
)
async def test_what_there_is_not_is_refused(
    bench: Bench, piper: FakePiperHttp, change: dict[str, Any], param: str, said: str
) -> None:
    backend = await bench.serve("piper_http", piper.url)
    with pytest.raises(MeshError) as caught:
        await spoken(backend, **change)
    assert (caught.value.metadata["param"], said in caught.value.message) == (param, True)
    assert not piper.spoken


EARLY: list[tuple[Way, Reason]] = [
    ("short", Reason.BACKEND_LOST), ("reset", Reason.BACKEND_LOST), ("error", Reason.UPSTREAM_ERROR),
]  # fmt: skip


@pytest.mark.parametrize(("way", "reason"), EARLY)
async def test_half_a_sound_is_never_a_whole_one(
    bench: Bench, piper: FakePiperHttp, way: Way, reason: Reason
) -> None:
    piper.way = way
    backend = await bench.serve("piper_http", piper.url)
    with pytest.raises(MeshError) as caught:
        await spoken(backend)
    assert caught.value.reason is reason


async def test_silence_is_told_and_frees_it(impatient: Bench, piper: FakePiperHttp) -> None:
    piper.way = "stall"
    backend = await impatient.serve("piper_http", piper.url)
    with pytest.raises(MeshError) as caught:
        await spoken(backend)
    assert caught.value.reason is Reason.STREAM_IDLE_TIMEOUT
    await eventually(lambda: piper.in_flight == 0, what="the server being let go")


async def test_it_is_known_by_what_it_says(piper: FakePiperHttp) -> None:
    async with open_session() as session:
        found = await probe(session, "127.0.0.1", piper.port)
    assert found is not None
    assert (found.kind, found.name) == ("piper_http", f"piper-{piper.port}")
