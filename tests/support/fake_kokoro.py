"""Kokoro-FastAPI as wire.md has it: voices with ids and names, four model names, its own form of errors, no health of
models, and `stream` true unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from aiohttp import web
from support.fake_server import RECORD
from support.fake_speech import FakeSpeech

__all__ = ["FakeKokoro"]

MODELS = ("tts-1", "tts-1-hd", "kokoro")
TAKEN = (*MODELS, "gpt-4o-mini-tts")
VOICES = ("af_heart", "af_bella", "am_adam", "bf_emma")


class FakeKokoro(FakeSpeech):
    """Its WAV is streamed, so its length is told as unknown."""

    types: ClassVar[dict[str, str]] = {
        "mp3": "audio/mpeg",
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
            web.get("/v1/audio/voices", self._voices),
            web.post("/v1/audio/speech", self._speech),
        ]

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "healthy"})

    async def _models(self, _: web.Request) -> web.Response:
        rows = [
            {"id": name, "object": "model", "created": 1686935002, "owned_by": "kokoro"} for name in MODELS
        ]
        return web.json_response({"object": "list", "data": rows})

    async def _voices(self, request: web.Request) -> web.Response:
        legacy = request.query.get("legacy") == "true"
        return web.json_response(
            {"voices": list(VOICES) if legacy else [{"id": one, "name": one} for one in VOICES]}
        )

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        body = request[RECORD].body
        if body.get("model") not in TAKEN:
            return _refused("invalid_model", f"Unsupported model: {body.get('model')}")
        voice = body.get("voice", "af_heart")
        if voice not in VOICES:
            return _refused(
                "validation_error", f"Voice '{voice}' not found. Available voices: {', '.join(VOICES)}"
            )
        return await self.speak(request, body.get("response_format", "mp3"))


def _refused(error: str, message: str) -> web.Response:
    detail = {"error": error, "message": message, "type": "invalid_request_error"}
    return web.json_response({"detail": detail}, status=400)
