"""Servers that speak by OpenAI's API: Kokoro-FastAPI, speaches, openedai-speech and their like."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator
from typing import ClassVar

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import AUDIO

from nexus_inference_adapters.audio import Ending, Voice, pcm_type, speech_model
from nexus_inference_adapters.contract import (
    Adapter,
    Answer,
    Completed,
    Event,
    Finish,
    Http,
    Inspection,
    JsonObject,
    Media,
    Offer,
    Patience,
    Seen,
    Work,
    from_event,
    malformed,
)
from nexus_inference_adapters.vocabulary import SPEECH

__all__ = ["OpenAISpeech"]

SPEEDS = (0.25, 4)
TASK = "text-to-speech"
MOST_VOICES = 300
"""As many as a model's row has room for. Of a server with more they are the server's own to check."""
HEARS = re.compile(r"whisper|-asr|stt|transcri", re.IGNORECASE)
"""Names of models that hear, in lists that do not tell what their models do."""
RATE = re.compile(r"rate=(\d{4,6})")
ALIASES = {"kokoro": "kokoro"}
"""Names of models by which a server is known: what it is."""


class OpenAISpeech(Adapter):
    """Sound passes through as it comes, in the format that was asked for: its end is looked for on the way."""

    kind: ClassVar[str] = "openai_speech"
    ports: ClassVar[tuple[int, ...]] = (8880,)
    instead: ClassVar[str] = "OpenAI's API has no way to: use the server's own."

    @classmethod
    async def speaks(cls, http: Http, listing: Seen) -> str | None:
        ids = {row.get("id") for row in listing.rows("data")} if listing.status == 200 else set()
        return next((label for name, label in ALIASES.items() if name in ids), None)

    async def inspect(self) -> Inspection:
        health = await self.http.look("GET", "/health")
        if health.status == 503:
            return Inspection(instance_pb2.STATE_STARTING, "It says it is not ready.")
        names = await self._models()
        voices = [Voice(name) for name in self.config.voices] or _voices(await self._listed_voices())
        offers = [self._offer(name, voices) for name in names]
        if not offers:
            return Inspection(
                instance_pb2.STATE_UNHEALTHY, "It lists no model that speaks: name its `models`."
            )
        return Inspection(instance_pb2.STATE_ACTIVE, offers=offers)

    async def complete(self, work: Work, patience: Patience) -> Completed:  # noqa: ARG002 - the same for all
        raise MeshError(Reason.INVALID_REQUEST, "Speech comes as a stream only.")

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        form: str = work.body.get("response_format", "mp3")
        body = {**work.body, "model": work.model, "response_format": form}
        answer = await self.http.send("/v1/audio/speech", body, patience, keep=False)
        try:
            kind = await _media_type(answer, form)
            ending = Ending(form)
            while data := await answer.part():
                ending.hear(data)
                patience.content_came()
                yield Media(data, mime_type=kind)
                kind = ""
            ending.finish()
        finally:
            answer.close()
        yield Media(b"", last=True)
        yield Finish(inference_pb2.Usage(input_characters=len(body["input"]), output_seconds=ending.seconds))

    async def _models(self) -> list[str]:
        """Those that speak, as far as it tells what they do."""
        if self.config.models:
            return list(self.config.models)
        speaking = await self.http.look("GET", "/v1/audio/models")
        rows = [*speaking.rows("models"), *speaking.rows("data")] if speaking.status == 200 else []
        if not rows:
            listing = await self.http.look("GET", "/v1/models")
            if listing.status != 200:
                raise MeshError(Reason.BACKEND_DOWN, "It does not list its models.")
            rows = [row for row in listing.rows("data") if row.get("task", TASK) == TASK]
        names = [name for row in rows if isinstance(name := row.get("id"), str)]
        return [name for name in names if not HEARS.search(name)]

    async def _listed_voices(self) -> list[object]:
        listing = await self.http.look("GET", "/v1/audio/voices")
        if listing.status != 200:
            return []
        found = (
            listing.body if isinstance(listing.body, list) else listing.dig("voices") or listing.dig("data")
        )
        return found if isinstance(found, list) else []

    def _offer(self, name: str, voices: list[Voice]) -> Offer:
        model = model_pb2.Model(id=name, operations=[SPEECH], owner="openai_speech")
        speech_model(model, voices if len(voices) <= MOST_VOICES else (), speeds=SPEEDS)
        return Offer(model, name)


async def _media_type(answer: Answer, form: str) -> str:
    """What to tell of the sound. Raises what the server says went wrong, or UPSTREAM_MALFORMED."""
    said = answer.headers.get("Content-Type", "").lower()
    if said.startswith("application/json"):
        try:
            told = msgspec.json.decode(await answer.read())
        except (ValueError, RecursionError):
            told = None
        raise from_event(told)
    if not said.startswith(("audio/", "application/octet-stream")):
        raise malformed("The backend was asked for sound, and its answer is something else.")
    if not answer.tells_its_end:
        raise malformed("The backend's answer does not say where it ends: half of it would pass for all.")
    if form != "pcm":
        return AUDIO[form]
    told = RATE.search(said)
    return pcm_type(int(told[1])) if told else pcm_type()


def _voices(listed: list[object]) -> list[Voice]:
    return list({voice.id: voice for one in listed for voice in _voice(one)}.values())


def _voice(one: object) -> Iterator[Voice]:
    """A name, or an object with one under the keys that servers use."""
    if isinstance(one, str) and one:
        yield Voice(one)
    elif isinstance(one, dict):
        row: JsonObject = one
        name = next((row[key] for key in ("id", "voice_id", "name") if isinstance(row.get(key), str)), "")
        language = row.get("language")
        if name:
            yield Voice(name, str(row.get("name") or name), [language] if isinstance(language, str) else ())
