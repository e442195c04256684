"""vLLM with a Whisper model, as wire.md has it: chunks that look like a chat's, and [DONE] even after an error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web
from support.fake_hearing import SECONDS, SEGMENTS, TEXT, FakeHearing

__all__ = ["FakeVllmHearing"]

MODEL = "openai/whisper-large-v3"


class FakeVllmHearing(FakeHearing):
    """It counts seconds in `usage`, as text."""

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.get("/health", self._health),
            web.get("/v1/models", self._models),
            web.post("/v1/audio/transcriptions", self._transcribe),
        ]

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _models(self, _: web.Request) -> web.Response:
        rows = [{"id": MODEL, "object": "model", "owned_by": "vllm", "root": MODEL, "max_model_len": 448}]
        return web.json_response({"object": "list", "data": rows})

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        heard = self.form(request)
        if heard.fields.get("stream") == ["true"]:
            rows: list[dict[str, Any] | str] = [_chunk(one["text"]) for one in SEGMENTS]
            if self.hearing == "error":
                rows = [rows[0], {"error": {"message": "boom", "type": "InternalServerError", "code": 500}}]
            return await self.events(request, [*rows, "[DONE]"])
        if trouble := await self.trouble(request):
            return trouble
        return web.json_response(
            {"text": TEXT, "usage": {"type": "duration", "seconds": str(round(SECONDS))}}
        )


def _chunk(text: str) -> dict[str, Any]:
    choice = {"delta": {"content": text}, "finish_reason": None, "stop_reason": None}
    return {
        "id": "trsc-1",
        "object": "transcription.chunk",
        "created": 1,
        "model": MODEL,
        "choices": [choice],
    }
