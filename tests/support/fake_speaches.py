"""speaches as wire.md has it: models with their tasks, errors in `detail`, lists with brackets, transcripts streamed as
OpenAI's events. It speaks too, and tells MP3 as audio/mp3."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from aiohttp import web
from support.fake_hearing import SECONDS, SEGMENTS, TEXT, WORDS, FakeHearing
from support.fake_server import RECORD
from support.fake_speech import FakeSpeech

__all__ = ["FakeSpeaches"]

HEARS, SPEAKS = "Systran/faster-whisper-small", "speaches-ai/Kokoro-82M-v1.0-ONNX"


class FakeSpeaches(FakeHearing, FakeSpeech):
    """Voices are of models, each with its language."""

    types: ClassVar[dict[str, str]] = {
        "mp3": "audio/mp3",
        "opus": "audio/opus",
        "aac": "audio/aac",
        "flac": "audio/flac",
        "wav": "audio/wav",
        "pcm": "audio/pcm",
    }

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.get("/health", self._health),
            web.get("/v1/models", self._models),
            web.get("/v1/audio/models", self._audio_models),
            web.get("/v1/audio/voices", self._voices),
            web.post("/v1/audio/speech", self._speech),
            web.post("/v1/audio/transcriptions", self._transcribe),
            web.post("/v1/audio/translations", self._transcribe),
        ]

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="OK")

    async def _models(self, _: web.Request) -> web.Response:
        rows = [
            {"id": HEARS, "object": "model", "owned_by": "Systran", "language": ["en"],
             "task": "automatic-speech-recognition"},
            {"id": SPEAKS, "object": "model", "owned_by": "speaches-ai", "task": "text-to-speech"},
        ]  # fmt: skip
        return web.json_response({"object": "list", "data": rows})

    async def _audio_models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "models": [{"id": SPEAKS, "task": "text-to-speech"}]})

    async def _voices(self, _: web.Request) -> web.Response:
        rows = [{"model_id": SPEAKS, "voice_id": "af_heart", "name": "af_heart", "language": "en-us"}]
        return web.json_response({"voices": rows})

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        return await self.speak(request, request[RECORD].body["response_format"])

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        heard = self.form(request)
        if heard.fields["model"] != [HEARS]:
            told = f"Model '{heard.fields['model'][0]}' is not installed locally."
            return web.json_response({"detail": told}, status=404)
        if self.hearing == "error":
            return web.json_response(
                {"detail": "Failed to decode audio. The provided file is not valid."}, status=415
            )
        if heard.fields.get("stream") == ["true"]:
            deltas = [{"type": "transcript.text.delta", "delta": one["text"]} for one in SEGMENTS]
            return await self.events(request, [*deltas, {"type": "transcript.text.done", "text": TEXT}])
        if trouble := await self.trouble(request):
            return trouble
        if heard.fields["response_format"] == ["json"]:
            return web.json_response({"text": TEXT})
        told = {
            "task": "transcribe",
            "language": "en",
            "duration": SECONDS,
            "text": TEXT,
            "segments": SEGMENTS,
        }
        words = "word" in heard.fields.get("timestamp_granularities[]", ())
        return web.json_response({**told, "words": WORDS if words else None})
