"""whisper.cpp's server as wire.md has it: POST /inference, WAV alone, errors with status 200, no list of models, and
segments with less in them than OpenAI's."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web
from support.fake_hearing import SECONDS, SEGMENTS, TEXT, WORDS, FakeHearing

__all__ = ["FakeWhisperCpp"]

LEFT_OUT = ("seek", "compression_ratio")


class FakeWhisperCpp(FakeHearing):
    """`loading`: it says so until it is ready."""

    loading = False

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.get("/health", self._health), web.post("/inference", self._infer)]

    async def _health(self, _: web.Request) -> web.Response:
        if self.loading:
            return web.json_response({"status": "loading model"}, status=503)
        return web.json_response({"status": "ok"})

    async def _infer(self, request: web.Request) -> web.StreamResponse:
        heard = self.form(request)
        if self.hearing == "error" or not heard.file.startswith(b"RIFF"):
            return web.json_response({"error": "failed to read audio data"})
        if trouble := await self.trouble(request):
            return trouble
        if heard.fields["response_format"] == ["json"]:
            return web.json_response({"text": f" {TEXT}\n"})
        segments = [{key: value for key, value in one.items() if key not in LEFT_OUT} for one in SEGMENTS]
        words = [{**word, "t_dtw": -1, "probability": 0.9} for word in WORDS]
        told = [{**one, "words": words[at * 2 : at * 2 + 2]} for at, one in enumerate(segments)]
        about = {"task": "transcribe", "language": "english", "duration": SECONDS, "text": f" {TEXT}\n"}
        return web.json_response({**about, "segments": told})
