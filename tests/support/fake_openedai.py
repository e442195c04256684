"""openedai-speech as wire.md has it: no list of voices, FFmpeg behind a pipe, samples at Piper's own rate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from aiohttp import web
from support.fake_server import RECORD
from support.fake_speech import FakeSpeech

__all__ = ["FakeOpenedai"]


class FakeOpenedai(FakeSpeech):
    """Whatever voice it does not know is an error of its own making, after the fact."""

    types: ClassVar[dict[str, str]] = {
        "mp3": "audio/mpeg",
        "opus": "audio/ogg;codec=opus",
        "aac": "audio/aac",
        "flac": "audio/x-flac",
        "wav": "audio/wav",
        "pcm": "audio/pcm;rate=22050",
    }
    rate = 22_050

    def sound(self, form: str) -> bytes:
        self.rate = 24_000 if form == "opus" else 22_050  # what the codec takes
        return super().sound(form)

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.get("/health", self._health),
            web.get("/v1/models", self._models),
            web.post("/v1/audio/speech", self._speech),
        ]

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _models(self, _: web.Request) -> web.Response:
        rows = [{"id": name, "object": "model", "owned_by": "openedai"} for name in ("tts-1", "tts-1-hd")]
        return web.json_response({"object": "list", "data": rows})

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        body = request[RECORD].body
        if body.get("voice") not in ("alloy", "nova"):
            error = {"message": f"Error loading voice: {body.get('voice')}", "code": 400, "type": "BadRequestError",
                     "param": "voice"}  # fmt: skip
            return web.json_response({"error": error}, status=400)
        return await self.speak(request, body.get("response_format", "mp3"))
