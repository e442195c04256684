"""Servers of Wyoming: what they say they can, their sound as files, recordings as words, no good end that was none."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from nexus.inference.v1 import inference_pb2
from nexus_inference_adapters.config import StaticBackend
from nexus_inference_adapters.contract import Event, Finish, Media, Parts, Text
from nexus_inference_adapters.host.backend import Backend
from nexus_mesh.core import MeshError, Reason
from nexus_operations import Times
from support.adapter_host import Bench, envelope
from support.fake_wyoming import TEXT, FakeWyoming, Way
from support.sounds import heard
from support.speaking import spoken as said
from support.waiting import eventually

BODY: dict[str, Any] = {"input": "Hello.", "voice": "en_US-joe-medium", "response_format": "wav"}
SPEECH = said("Good morning. How are you?")
CONTAINERS = {"mp3": "mp3", "opus": "ogg", "aac": "aac", "flac": "flac", "wav": "wav"}


@pytest.fixture
async def server() -> AsyncIterator[FakeWyoming]:
    async with FakeWyoming() as fake:
        yield fake


async def spoken(backend: Backend, **more: Any) -> tuple[bytes, list[Event]]:
    body = {**BODY, **more}
    async with aclosing(backend.stream(envelope(backend, body, "speech", "piper"), body)) as stream:
        events = [event async for event in stream]
    return b"".join(event.data for event in events if isinstance(event, Media)), events


async def asked(backend: Backend, *, stream: bool = False, **body: Any) -> list[Event]:
    async def messages() -> AsyncIterator[inference_pb2.UploadRequest]:
        yield inference_pb2.UploadRequest(part=inference_pb2.Part(name="file"))
        for at in range(0, len(SPEECH), 65_536):
            yield inference_pb2.UploadRequest(chunk=SPEECH[at : at + 65_536])
        yield inference_pb2.UploadRequest(end=inference_pb2.UploadEnd(size=len(SPEECH)))

    parts = Parts(messages(), {"file": Times()})
    asked = envelope(backend, body, "transcription", "base-int8")
    async with aclosing(backend.upload(asked, body, parts, stream=stream)) as events:
        return [event async for event in events]


async def test_it_offers_what_it_has(bench: Bench, server: FakeWyoming) -> None:
    backend = await bench.serve("wyoming", server.url)
    piper, base = (offer.model for offer in backend.inspection.offers)
    assert (piper.id, base.id) == ("piper", "base-int8")
    assert '{"const":"en_GB-vctk-medium:p2"' in piper.parameters[0].schema
    assert "not-here" not in piper.parameters[0].schema
    assert '"enum":["de","en"]' in base.parameters[0].schema


@pytest.mark.parametrize("form", CONTAINERS)
async def test_every_format_is_made_of_its_samples(bench: Bench, server: FakeWyoming, form: str) -> None:
    backend = await bench.serve("wyoming", server.url)
    sound, events = await spoken(backend, response_format=form, voice="en_GB-vctk-medium:p1")
    made = heard(sound)
    assert made.container == CONTAINERS[form]
    assert made.seconds == pytest.approx(2, abs=0.1)
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.usage is not None
    assert finish.usage.output_seconds == pytest.approx(2)
    assert server.asked[-1].data == {
        "text": "Hello.", "voice": {"name": "en_GB-vctk-medium", "speaker": "p1"},
    }  # fmt: skip


async def test_pcm_is_openai_s(bench: Bench, server: FakeWyoming) -> None:
    backend = await bench.serve("wyoming", server.url)
    sound, events = await spoken(backend, response_format="pcm")
    assert len(sound) == pytest.approx(2 * 24_000 * 2, abs=200)
    assert isinstance(events[0], Media)
    assert events[0].mime_type == "audio/pcm;rate=24000;channels=1"


async def test_whoever_leaves_ends_the_conversation(bench: Bench, server: FakeWyoming) -> None:
    server.way = "endless"
    backend = await bench.serve("wyoming", server.url)
    body = {**BODY, "response_format": "mp3"}
    async with aclosing(backend.stream(envelope(backend, body, "speech", "piper"), body)) as events:
        async for event in events:
            assert isinstance(event, Media)
            if server.sent > 400_000:
                break
    before = server.sent
    await eventually(lambda: server.open == 0, what="the server being let go")
    assert server.sent < before + (8 << 20)


EARLY: list[tuple[Way, Reason]] = [
    ("reset", Reason.BACKEND_LOST),
    ("error", Reason.UPSTREAM_ERROR),
    ("liar", Reason.UPSTREAM_MALFORMED),
    ("nonsense", Reason.UPSTREAM_MALFORMED),
    ("stereo", Reason.UPSTREAM_MALFORMED),
]


@pytest.mark.parametrize(("way", "reason"), EARLY)
async def test_half_a_sound_is_never_a_whole_one(
    bench: Bench, server: FakeWyoming, way: Way, reason: Reason
) -> None:
    backend = await bench.serve("wyoming", server.url)
    server.way = way
    with pytest.raises(MeshError) as caught:
        await spoken(backend)
    assert caught.value.reason is reason


async def test_silence_in_the_middle_is_told(impatient: Bench, server: FakeWyoming) -> None:
    backend = await impatient.serve("wyoming", server.url)
    server.way = "stall"
    with pytest.raises(MeshError) as caught:
        await spoken(backend)
    assert caught.value.reason is Reason.STREAM_IDLE_TIMEOUT


async def test_words(bench: Bench, server: FakeWyoming) -> None:
    backend = await bench.serve("wyoming", server.url)
    events = await asked(backend, language="en")
    [text] = [event for event in events if isinstance(event, Text)]
    told = json.loads(text.body)
    assert told["text"] == TEXT
    assert told["usage"]["seconds"] in range(1, 5)
    assert server.asked[-1].data == {"name": "base-int8", "language": "en"}
    assert len(server.heard) == pytest.approx(len(SPEECH) * 16_000 / 22_050, rel=0.02)


async def test_words_as_they_come(bench: Bench, server: FakeWyoming) -> None:
    server.way = "pieces"
    backend = await bench.serve("wyoming", server.url)
    events = await asked(backend, stream=True)
    *deltas, done = [json.loads(one) for event in events if isinstance(event, list) for one in event]
    assert [one["delta"] for one in deltas] == ["Good morning.", " How are you?"]
    assert (done["type"], done["text"]) == ("transcript.text.done", TEXT)


@pytest.mark.parametrize(("way", "reason"), [EARLY[0], *EARLY[2:4]])
async def test_half_a_transcript_is_never_a_whole_one(
    bench: Bench, server: FakeWyoming, way: Way, reason: Reason
) -> None:
    backend = await bench.serve("wyoming", server.url)
    server.way = way
    with pytest.raises(MeshError) as caught:
        await asked(backend)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("change", "param", "said"),
    [({"voice": "alloy"}, "voice", "en_US-joe-medium"), ({"speed": 2}, "speed", "one of 1")],
)
async def test_what_it_cannot_speak_is_refused(
    bench: Bench, server: FakeWyoming, change: dict[str, Any], param: str, said: str
) -> None:
    backend = await bench.serve("wyoming", server.url)
    with pytest.raises(MeshError) as caught:
        await spoken(backend, **change)
    assert (caught.value.metadata["param"], said in caught.value.message) == (param, True)


@pytest.mark.parametrize(
    ("change", "param", "said"),
    [
        ({"language": "fr"}, "language", "one of de, en"),
        ({"response_format": "srt"}, "response_format", "one of json, text"),
        ({"prompt": "x"}, "prompt", "language"),
    ],
)
async def test_what_it_cannot_hear_is_refused(
    bench: Bench, server: FakeWyoming, change: dict[str, Any], param: str, said: str
) -> None:
    backend = await bench.serve("wyoming", server.url)
    with pytest.raises(MeshError) as caught:
        await asked(backend, **change)
    assert (caught.value.metadata["param"], said in caught.value.message) == (param, True)


def test_its_address_is_of_its_own_kind() -> None:
    assert StaticBackend(name="a", kind="wyoming", url="tcp://127.0.0.1:10200").url == "tcp://127.0.0.1:10200"
    with pytest.raises(ValueError, match="begins with tcp://"):
        StaticBackend(name="a", kind="wyoming", url="http://127.0.0.1:10200")
    with pytest.raises(ValueError, match="begins with http://"):
        StaticBackend(name="a", kind="ollama", url="tcp://127.0.0.1:10200")
