"""Servers that hear by HTTP: what they are sent, what is made of what they say, and how an early end is noticed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from nexus.inference.v1 import inference_pb2
from nexus_inference_adapters.contract import Event, Finish, Parts, Text
from nexus_inference_adapters.host.backend import Backend
from nexus_mesh.core import MeshError, Reason
from nexus_operations import Times
from support.adapter_host import Bench, envelope
from support.fake_hearing import TEXT, WORDS, Way
from support.fake_speaches import HEARS, FakeSpeaches
from support.fake_vllm_hearing import FakeVllmHearing
from support.fake_whisper_cpp import FakeWhisperCpp
from support.speaking import spoken
from support.waiting import eventually

Message = inference_pb2.UploadRequest
SPEECH = spoken("Good morning. How are you?")
PIECE = 64 * 1024


def messages(data: bytes, *, whole: bool = True) -> Iterator[Message]:
    yield Message(part=inference_pb2.Part(name="file", filename="../talk.wav"))
    for at in range(0, len(data), PIECE):
        yield Message(chunk=data[at : at + PIECE])
    if whole:
        yield Message(end=inference_pb2.UploadEnd(size=len(data)))


async def sent(data: bytes, *, whole: bool = True) -> AsyncIterator[Message]:
    for message in messages(data, whole=whole):
        yield message


async def asked(
    backend: Backend,
    operation: str = "transcription",
    *,
    stream: bool = False,
    source: AsyncIterator[Message] | None = None,
    **body: Any,
) -> list[Event]:
    parts = Parts(source or sent(SPEECH), {"file": Times()})
    events = backend.upload(envelope(backend, body, operation), body, parts, stream=stream)
    async with aclosing(events):
        return [event async for event in events]


def answer(events: list[Event]) -> str:
    [text] = [event for event in events if isinstance(event, Text)]
    assert isinstance(events[-1], Finish)
    return text.body


def streamed(events: list[Event]) -> list[dict[str, Any]]:
    return [json.loads(one) for event in events if isinstance(event, list) for one in event]


@pytest.fixture
async def speaches() -> AsyncIterator[FakeSpeaches]:
    async with FakeSpeaches() as fake:
        yield fake


@pytest.fixture
async def whisper_cpp() -> AsyncIterator[FakeWhisperCpp]:
    async with FakeWhisperCpp() as fake:
        yield fake


async def test_models_are_told_apart_by_their_task(bench: Bench, speaches: FakeSpeaches) -> None:
    hearing = await bench.serve("openai_transcription", speaches.url)
    speaking = await bench.serve("openai_speech", speaches.url)
    assert [offer.model.id for offer in hearing.inspection.offers] == [HEARS]
    assert [offer.model.id for offer in speaking.inspection.offers] == ["speaches-ai/Kokoro-82M-v1.0-ONNX"]
    assert '"languages":["en-us"]' in speaking.inspection.offers[0].model.parameters[0].schema


async def test_the_recording_passes_on_as_it_came(bench: Bench, speaches: FakeSpeaches) -> None:
    backend = await bench.serve("openai_transcription", speaches.url)
    told = json.loads(answer(await asked(backend, language="German", prompt="Herr\r\n--x", temperature=0.5)))
    assert told == {"text": TEXT}
    [heard] = speaches.heard
    assert (heard.file, heard.filename) == (SPEECH, "recording.wav")
    assert heard.fields == {"model": [HEARS], "response_format": ["json"], "language": ["de"],
                            "prompt": ["Herr\r\n--x"], "temperature": ["0.5"]}  # fmt: skip


async def test_every_form_is_made_of_what_was_heard(bench: Bench, speaches: FakeSpeaches) -> None:
    backend = await bench.serve("openai_transcription", speaches.url)
    srt = answer(await asked(backend, response_format="srt"))
    assert srt == (
        "1\n00:00:00,000 --> 00:00:01,250\nGood morning.\n\n2\n00:00:01,500 --> 00:00:02,750\nHow are you?\n"
    )
    assert answer(await asked(backend, response_format="vtt")).startswith("WEBVTT\n\n00:00:00.000 -->")
    assert answer(await asked(backend, response_format="text")) == f"{TEXT}\n"
    both = {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]}
    events = await asked(backend, **both)
    told = json.loads(answer(events))
    assert (told["language"], told["duration"], told["words"]) == ("english", 3.0, WORDS)
    assert [one["text"] for one in told["segments"]] == [" Good morning.", " How are you?"]
    assert told["usage"] == {"type": "duration", "seconds": 3}
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.usage is not None
    assert finish.usage.input_seconds == 3
    assert speaches.heard[-1].fields["timestamp_granularities[]"] == ["word", "segment"]


async def test_words_come_as_they_are_heard(bench: Bench, speaches: FakeSpeaches) -> None:
    backend = await bench.serve("openai_transcription", speaches.url)
    *deltas, done = streamed(await asked(backend, stream=True))
    assert [one["delta"] for one in deltas] == [" Good morning.", " How are you?"]
    assert done == {"type": "transcript.text.done", "text": TEXT}


async def test_a_translation_goes_its_own_way(bench: Bench, speaches: FakeSpeaches) -> None:
    backend = await bench.serve("openai_transcription", speaches.url)
    assert json.loads(answer(await asked(backend, "translation")))["text"] == TEXT
    assert speaches.paths[-1] == "/v1/audio/translations"


async def test_vllm_streams_chunks_and_counts_in_text(bench: Bench) -> None:
    async with FakeVllmHearing() as fake:
        backend = await bench.serve("openai_transcription", fake.url)
        *deltas, done = streamed(await asked(backend, stream=True))
        assert "".join(one["delta"] for one in deltas).strip() == done["text"] == TEXT
        assert json.loads(answer(await asked(backend)))["usage"] == {"type": "duration", "seconds": 3}
        fake.hearing = "error"
        with pytest.raises(MeshError) as caught:
            await asked(backend, stream=True)
        assert caught.value.reason is Reason.UPSTREAM_ERROR


async def test_whisper_cpp_gets_plain_sound_and_its_own_path(
    bench: Bench, whisper_cpp: FakeWhisperCpp
) -> None:
    backend = await bench.serve("openai_transcription", whisper_cpp.url, models=("whisper-1",))
    told = json.loads(answer(await asked(backend, language="en")))
    assert told["text"] == TEXT
    assert 1 <= told["usage"]["seconds"] <= 4
    [heard] = whisper_cpp.heard
    assert heard.file[:4] == b"RIFF"
    assert int.from_bytes(heard.file[24:28], "little") == 16_000
    assert int.from_bytes(heard.file[40:44], "little") == len(heard.file) - 44
    verbose = {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]}
    whole = json.loads(answer(await asked(backend, **verbose)))
    assert [word["word"] for word in whole["words"]] == TEXT.split()[:4]
    assert whole["segments"][1]["seek"] == 150
    assert 0 < whole["segments"][0]["compression_ratio"] < 2
    assert "translate" not in heard.fields
    await asked(backend, "translation")
    assert whisper_cpp.heard[-1].fields["translate"] == ["true"]
    *deltas, done = streamed(await asked(backend, stream=True))
    assert [one["delta"] for one in deltas] == [TEXT]
    assert done["text"] == TEXT


async def test_whisper_cpp_tells_of_errors_with_a_good_status(
    bench: Bench, whisper_cpp: FakeWhisperCpp
) -> None:
    backend = await bench.serve("openai_transcription", whisper_cpp.url)
    whisper_cpp.hearing = "error"
    with pytest.raises(MeshError) as caught:
        await asked(backend)
    assert caught.value.reason is Reason.UPSTREAM_ERROR
    with pytest.raises(MeshError) as caught:
        await asked(backend, source=sent(b"no recording"))
    assert (caught.value.reason, caught.value.metadata["param"]) == (Reason.INVALID_REQUEST, "file")


async def test_who_loads_is_starting(bench: Bench, whisper_cpp: FakeWhisperCpp) -> None:
    backend = await bench.serve("openai_transcription", whisper_cpp.url)
    whisper_cpp.loading = True
    backend.look_now.set()
    await eventually(lambda: backend.inspection.reason == "It says it is not ready.", what="its word")


EARLY: list[tuple[Way, bool, Reason]] = [
    ("reset", False, Reason.BACKEND_LOST),
    ("reset", True, Reason.BACKEND_LOST),
    ("short", True, Reason.BACKEND_LOST),
    ("nonsense", False, Reason.UPSTREAM_MALFORMED),
    ("error", False, Reason.UPSTREAM_ERROR),
]


@pytest.mark.parametrize(("way", "stream", "reason"), EARLY)
async def test_half_a_transcript_is_never_a_whole_one(
    bench: Bench, speaches: FakeSpeaches, way: Way, stream: bool, reason: Reason
) -> None:
    speaches.hearing = way
    backend = await bench.serve("openai_transcription", speaches.url)
    with pytest.raises(MeshError) as caught:
        await asked(backend, stream=stream)
    assert caught.value.reason is reason


async def test_half_a_recording_is_never_heard(bench: Bench, speaches: FakeSpeaches) -> None:
    backend = await bench.serve("openai_transcription", speaches.url)
    with pytest.raises(MeshError) as caught:
        await asked(backend, source=sent(SPEECH, whole=False))
    assert (caught.value.reason, "cut off" in caught.value.message) == (Reason.INVALID_REQUEST, True)
    assert not speaches.heard


async def test_who_leaves_frees_the_server(bench: Bench, speaches: FakeSpeaches) -> None:
    speaches.hearing = "stall"
    backend = await bench.serve("openai_transcription", speaches.url)
    body: dict[str, Any] = {}
    parts = Parts(sent(SPEECH), {"file": Times()})
    async with aclosing(
        backend.upload(envelope(backend, body, "transcription"), body, parts, stream=True)
    ) as events:
        async for event in events:
            if isinstance(event, list):
                break
    await eventually(lambda: speaches.in_flight == 0, what="the server being let go")
    assert speaches.requests[-1].cancelled
    assert backend.gate.active == 0


@pytest.mark.parametrize(
    ("change", "param", "said"),
    [
        ({"language": "klingon"}, "language", "de, "),
        ({"response_format": "diarized_json"}, "response_format", "json, text, srt, verbose_json, vtt"),
        ({"beam_size": 5}, "beam_size", "language"),
    ],
)
async def test_what_it_cannot_do_is_refused(
    bench: Bench, speaches: FakeSpeaches, change: dict[str, Any], param: str, said: str
) -> None:
    backend = await bench.serve("openai_transcription", speaches.url)
    with pytest.raises(MeshError) as caught:
        await asked(backend, **change)
    assert caught.value.metadata["param"] == param
    assert said in caught.value.message
    assert not speaches.heard
