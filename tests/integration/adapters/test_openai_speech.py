"""Servers that speak by OpenAI's API: what they list, how their sound passes, and how an early end is noticed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from nexus_inference_adapters.contract import Event, Finish, Media, open_session
from nexus_inference_adapters.discovery.probing import probe
from nexus_inference_adapters.host.backend import Backend
from nexus_mesh.core import MeshError, Reason
from nexus_operations import AUDIO
from support.adapter_host import Bench, envelope
from support.fake_kokoro import FakeKokoro
from support.fake_openedai import FakeOpenedai
from support.fake_speech import Way
from support.sounds import heard
from support.waiting import eventually

BODY: dict[str, Any] = {"input": "Hello. How are you?", "voice": "af_heart", "response_format": "mp3"}


@pytest.fixture
async def kokoro() -> AsyncIterator[FakeKokoro]:
    async with FakeKokoro() as fake:
        yield fake


async def spoken(backend: Backend, model: str = "kokoro", **more: Any) -> tuple[bytes, list[Event]]:
    body = {**BODY, **more}
    asked = envelope(backend, body, "speech", model)
    events = [event async for event in backend.stream(asked, body)]
    return b"".join(event.data for event in events if isinstance(event, Media)), events


async def test_it_lists_its_models_and_voices(bench: Bench, kokoro: FakeKokoro) -> None:
    backend = await bench.serve("openai_speech", kokoro.url)
    assert [offer.model.id for offer in backend.inspection.offers] == ["tts-1", "tts-1-hd", "kokoro"]
    schema = backend.inspection.offers[0].model.parameters[0].schema
    assert '{"const":"af_heart","title":"af_heart"}' in schema


@pytest.mark.parametrize("form", AUDIO)
async def test_its_sound_passes_as_it_is(bench: Bench, kokoro: FakeKokoro, form: str) -> None:
    backend = await bench.serve("openai_speech", kokoro.url)
    sound, events = await spoken(backend, response_format=form)
    assert sound == kokoro.sound(form)
    types = [event.mime_type for event in events if isinstance(event, Media)]
    assert types[0] == (f"{AUDIO['pcm']};rate=24000;channels=1" if form == "pcm" else AUDIO[form])
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.usage is not None
    assert finish.usage.input_characters == len(BODY["input"])
    if form == "wav":
        assert finish.usage.output_seconds == pytest.approx(3)
    sent = kokoro.requests[-1].body
    assert sent == {**BODY, "model": "kokoro", "response_format": form}


async def test_it_comes_while_it_is_made(bench: Bench, kokoro: FakeKokoro) -> None:
    kokoro.way = "endless"
    backend = await bench.serve("openai_speech", kokoro.url)
    body = {**BODY, "response_format": "pcm"}
    async with aclosing(backend.stream(envelope(backend, body, "speech", "kokoro"), body)) as events:
        async for event in events:
            assert isinstance(event, Media)
            if kokoro.sent > 400_000:
                break
    await eventually(lambda: kokoro.in_flight == 0, what="the server being let go")
    assert kokoro.requests[-1].cancelled


CUT: list[tuple[Way, str, Reason]] = [
    ("reset", "mp3", Reason.BACKEND_LOST),
    ("short", "opus", Reason.BACKEND_LOST),
    ("unended", "mp3", Reason.UPSTREAM_MALFORMED),
    ("other", "mp3", Reason.UPSTREAM_MALFORMED),
    ("other", "wav", Reason.UPSTREAM_MALFORMED),
    ("silent", "mp3", Reason.UPSTREAM_MALFORMED),
    ("silent", "pcm", Reason.UPSTREAM_MALFORMED),
]


@pytest.mark.parametrize(("way", "form", "reason"), CUT)
async def test_half_a_sound_is_never_a_whole_one(
    bench: Bench, kokoro: FakeKokoro, way: Way, form: str, reason: Reason
) -> None:
    kokoro.way = way
    backend = await bench.serve("openai_speech", kokoro.url)
    with pytest.raises(MeshError) as caught:
        await spoken(backend, response_format=form)
    assert caught.value.reason is reason


async def test_a_wave_that_told_its_length_is_held_to_it(
    bench: Bench, kokoro: FakeKokoro, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support.sound_files import tone

    monkeypatch.setattr(FakeKokoro, "sound", lambda _, form: tone(form))
    backend = await bench.serve("openai_speech", kokoro.url)
    sound, _ = await spoken(backend, response_format="wav")
    assert heard(sound).seconds == pytest.approx(3)
    kokoro.way = "short"
    with pytest.raises(MeshError) as caught:
        await spoken(backend, response_format="wav")
    assert caught.value.reason is Reason.BACKEND_LOST


async def test_silence_in_the_middle_is_told(impatient: Bench, kokoro: FakeKokoro) -> None:
    kokoro.way = "stall"
    backend = await impatient.serve("openai_speech", kokoro.url)
    with pytest.raises(MeshError) as caught:
        await spoken(backend)
    assert caught.value.reason is Reason.STREAM_IDLE_TIMEOUT


@pytest.mark.parametrize(
    ("change", "param", "said"),
    [
        ({"voice": "alloy"}, "voice", "af_heart, af_bella, am_adam, bf_emma"),
        ({"speed": 5}, "speed", "between 0.25 and 4"),
        ({"response_format": "ogg"}, "response_format", "mp3, opus, aac, flac, wav, pcm"),
        ({"lang_code": "e"}, "lang_code", "voice"),
        ({"instructions": "sing"}, "instructions", "voice"),  # they would pass it over
    ],
)
async def test_what_there_is_not_is_refused_before_it_is_asked(
    bench: Bench, kokoro: FakeKokoro, change: dict[str, Any], param: str, said: str
) -> None:
    backend = await bench.serve("openai_speech", kokoro.url)
    with pytest.raises(MeshError) as caught:
        await spoken(backend, **change)
    assert caught.value.metadata["param"] == param
    assert said in caught.value.message
    assert not [one for one in kokoro.requests if one.method == "POST"]


async def test_a_server_that_tells_no_voices_is_believed_or_told_them(bench: Bench) -> None:
    async with FakeOpenedai() as fake:
        backend = await bench.serve("openai_speech", fake.url)
        sound, events = await spoken(backend, "tts-1", voice="nova", response_format="pcm")
        assert sound == fake.sound("pcm")
        assert isinstance(events[0], Media)
        assert events[0].mime_type == "audio/pcm;rate=22050;channels=1"
        with pytest.raises(MeshError) as caught:
            await spoken(backend, "tts-1", voice="joe")
        assert (caught.value.reason, "Error loading voice" in caught.value.message) == (
            Reason.INVALID_REQUEST, True,
        )  # fmt: skip
        told = await bench.serve("openai_speech", fake.url, voices=("alloy", "nova"))
        with pytest.raises(MeshError) as caught:
            await spoken(told, "tts-1", voice="joe")
        assert "one of alloy, nova" in caught.value.message


async def test_it_is_known_by_what_it_lists(kokoro: FakeKokoro) -> None:
    async with open_session() as session:
        found = await probe(session, "127.0.0.1", kokoro.port)
    assert found is not None
    assert (found.kind, found.name) == ("openai_speech", f"kokoro-{kokoro.port}")
