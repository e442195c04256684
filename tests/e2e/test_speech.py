"""Speech through a whole mesh of real processes, asked for by the official client and opened by a real decoder."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
import pytest_asyncio
from support.e2e_cli import nexus
from support.e2e_mesh import listed_models, sdk
from support.live_mesh import LiveMesh, live_mesh
from support.sounds import heard
from support.waiting import eventually

SMALL = '[adapter]\nbuiltin = "nexus-demo"\n'
MODEL, VOICE = "espeak-ng", "en-us"
TEXT = "The quick brown fox jumps over the lazy dog. It does so every day."
FORMATS = {
    "mp3": ("audio/mpeg", "mp3", 24_000),
    "opus": ("audio/ogg", "ogg", 48_000),
    "aac": ("audio/aac", "aac", 24_000),
    "flac": ("audio/flac", "flac", 22_050),
    "wav": ("audio/wav", "wav", 22_050),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveMesh]:
    async with live_mesh(tmp_path_factory.mktemp("speech"), SMALL, speech=True) as running:
        await eventually(lambda: _is_listed(running), timeout=30, what="the voice")
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _is_listed(mesh: LiveMesh) -> bool:
    return {MODEL, "nexus-demo"} <= {*await listed_models(mesh.base_url)}


def speakers(mesh: LiveMesh) -> list[psutil.Process]:
    """The processes that speak now, or have just spoken."""
    adapter = psutil.Process(mesh.pid("adapter"))
    return [one for one in adapter.children() if any("speaking.py" in word for word in one.cmdline())]


async def test_a_voice_is_the_last_model_for_whoever_takes_the_first(mesh: LiveMesh) -> None:
    assert await listed_models(mesh.base_url) == ["nexus-demo", MODEL]


@pytest.mark.parametrize("form", FORMATS)
async def test_every_format_by_the_official_client(mesh: LiveMesh, form: Any) -> None:
    media, container, rate = FORMATS[form]
    async with (
        sdk(mesh) as client,
        client.audio.speech.with_streaming_response.create(
            model=MODEL, voice=VOICE, input=TEXT, response_format=form
        ) as answer,
    ):
        assert answer.headers["content-type"] == media
        assert answer.headers["x-nexus-model"] == MODEL
        assert answer.headers["x-nexus-backend-type"] == "espeak"
        sound = b"".join([piece async for piece in answer.iter_bytes()])
    made = heard(sound)
    assert (made.container, made.rate) == (container, rate)
    assert 3.5 < made.seconds < 5.5
    assert made.loudness > 0.02


async def test_pcm_and_whatever_else_the_client_can_say(mesh: LiveMesh) -> None:
    async with sdk(mesh) as client:
        sounds = [
            await client.audio.speech.create(
                model=MODEL, voice=VOICE, input=TEXT, response_format="pcm", speed=speed
            )
            for speed in (1.0, 2.0)
        ]
        assert sounds[0].response.headers["content-type"] == "audio/pcm;rate=24000;channels=1"
        usual, quick = [len(sound.content) for sound in sounds]
        assert usual / quick == pytest.approx(2, rel=0.25)
        assert (await client.audio.speech.create(model=MODEL, voice={"id": "de"}, input="Hallo")).content


async def test_events_are_openai_s(mesh: LiveMesh) -> None:
    async with (
        sdk(mesh) as client,
        client.audio.speech.with_streaming_response.create(
            model=MODEL, voice=VOICE, input=TEXT, response_format="wav", stream_format="sse"
        ) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in answer.iter_lines() if line]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    *deltas, done = events
    assert all(set(event) == {"type", "audio"} for event in deltas)
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    sound = b"".join(base64.b64decode(event["audio"], validate=True) for event in deltas)
    assert sound[:4] == b"RIFF"
    assert done["type"] == "speech.audio.done"
    assert set(done["usage"]) == {"input_tokens", "output_tokens", "total_tokens"}
    assert all(type(count) is int for count in done["usage"].values())


@pytest.mark.parametrize(
    ("change", "param", "said"),
    [
        ({"voice": "alloy"}, "voice", "en-us"),
        ({"response_format": "ogg"}, "response_format", "mp3, opus, aac, flac, wav, pcm"),
        ({"speed": 3}, "speed", "between 0.5 and 2.5"),
        ({"instructions": "sing"}, "instructions", "voice"),
        ({"model": "nexus-demo"}, "model", "nexus-demo"),
    ],
)
async def test_what_there_is_not_is_a_400_that_says_what_there_is(
    mesh: LiveMesh, change: dict[str, Any], param: str, said: str
) -> None:
    asked: dict[str, Any] = {"model": MODEL, "voice": VOICE, "input": TEXT, **change}
    async with sdk(mesh) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.audio.speech.create(**asked)
    assert said in caught.value.message
    assert caught.value.param == param or param == "model"


async def test_voices_are_listed(mesh: LiveMesh) -> None:
    async with sdk(mesh) as client:
        told = await client.get("/audio/voices", cast_to=dict[str, Any])
        models = await client.get("/audio/models", cast_to=dict[str, Any])
    voices = {voice["id"]: voice for voice in told["voices"]}
    assert len(voices) > 100
    assert voices["en-us"] == {
        "id": "en-us",
        "name": "English (America)",
        "languages": ["en-us", "en"],
        "models": [MODEL],
    }
    assert [model["id"] for model in models["models"]] == [MODEL]


async def test_a_client_that_leaves_ends_the_process(mesh: LiveMesh) -> None:
    async with (
        sdk(mesh) as client,
        client.audio.speech.with_streaming_response.create(
            model=MODEL, voice=VOICE, input=TEXT * 900, response_format="wav"
        ) as answer,
    ):
        await anext(answer.iter_bytes(1024))
        busy = speakers(mesh)
        assert busy
    await eventually(lambda: not any(one.is_running() and _works(one) for one in busy), what="its end")


def _works(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_an_engine_killed_in_mid_sentence_is_a_broken_body(mesh: LiveMesh) -> None:
    async with (
        sdk(mesh) as client,
        client.audio.speech.with_streaming_response.create(
            model=MODEL, voice=VOICE, input=TEXT * 900, response_format="wav"
        ) as answer,
    ):
        pieces = answer.iter_bytes(1024)
        await anext(pieces)
        for one in speakers(mesh):
            one.kill()
        with pytest.raises((openai.APIError, *_broken_bodies())):
            [piece async for piece in pieces]
    async with sdk(mesh) as client:
        assert (await client.audio.speech.create(model=MODEL, voice=VOICE, input="Again.")).content


def _broken_bodies() -> tuple[type[Exception], ...]:
    import httpx2

    return (httpx2.TransportError,)


async def test_what_came_of_it_can_be_written_to_a_file(mesh: LiveMesh, tmp_path: Path) -> None:
    async with sdk(mesh) as client:
        answer = await client.audio.speech.create(model=MODEL, voice=VOICE, input=TEXT)
        answer.write_to_file(tmp_path / "out.mp3")
    assert heard((tmp_path / "out.mp3").read_bytes()).container == "mp3"


async def test_the_command_speaks_into_a_file(mesh: LiveMesh, tmp_path: Path) -> None:
    out = tmp_path / "out.ogg"
    ran = await nexus(mesh.layout.home, "say", TEXT, "-o", str(out))
    assert ran.code == 0, ran.err
    assert f"{out.stat().st_size:,} bytes of opus" in ran.out
    assert heard(out.read_bytes()).codec == "opus"
    refused = await nexus(mesh.layout.home, "say", TEXT, "-o", str(tmp_path / "no.wav"), "--voice", "alloy")
    refused.assert_refused("en-us")
    (await nexus(mesh.layout.home, "say", TEXT, "-o", str(tmp_path / "no.doc"))).assert_refused("mp3, opus")
    assert [path.name for path in tmp_path.iterdir()] == ["out.ogg"]
