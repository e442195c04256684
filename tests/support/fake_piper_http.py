"""Piper's HTTP server as wire.md has it: whole WAV files, names that lose letters in its list, another voice without a
word where it does not find the one it was asked for, and errors as HTML."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any, Literal

from aiohttp import web
from support.fake_server import RECORD, FakeServer
from support.sound_files import tone

__all__ = ["FILES", "FakePiperHttp", "Way"]

Way = Literal["whole", "short", "reset", "stall", "error"]
RATE = 22_050


def _config(code: str, dataset: str, quality: str, **more: Any) -> dict[str, Any]:
    return {"language": {"code": code}, "dataset": dataset, "audio": {"quality": quality, "sample_rate": RATE},
            "inference": {"length_scale": 1.0}, "num_speakers": 1, "speaker_id_map": {}, **more}  # fmt: skip


FILES = {
    "en_US-joe-medium": _config("en_US", "joe", "medium"),
    "en_GB-vctk-medium": _config(
        "en_GB", "vctk", "medium", num_speakers=2, speaker_id_map={"p1": 0, "p2": 1}
    ),
    "en_US-fox-fusion": _config("en_US", "fox", "fusion"),
    "glados": _config("en_US", "glados", "high"),
}
"""Voices by the names of their files; the first one is what it speaks by when it finds no other."""


def _cut(name: str, letters: str) -> str:
    """As it does: not this ending, but every one of its letters."""
    return name.rstrip(letters)


class FakePiperHttp(FakeServer):
    def __init__(self) -> None:
        super().__init__()
        self.way: Way = "whole"
        self.spoken: list[tuple[str, str | None]] = []
        """Voice and speaker that were really used."""

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.get("/voices", self._voices),
            web.get("/info", self._info),
            web.post("/synthesize", self._synthesize),
        ]

    async def _voices(self, _: web.Request) -> web.Response:
        return web.json_response(
            {_cut(f"{name}.onnx.json", ".onnx.json"): one for name, one in FILES.items()}
        )

    async def _info(self, _: web.Request) -> web.Response:
        name = _cut(f"{next(iter(FILES))}.onnx", ".onnx")
        voice = {"name": name, "language": "en-us", "num_speakers": 1}
        return web.json_response({"voice": voice, "last": None})

    async def _synthesize(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(request[RECORD].raw)
        if not body.get("text", "").strip() or self.way == "error":
            return web.Response(
                status=500, text="<!doctype html><title>500</title>", content_type="text/html"
            )
        wanted = body.get("voice")
        used = wanted if wanted in FILES else next(iter(FILES))
        speaker = body.get("speaker")
        known = FILES[used]["speaker_id_map"]
        self.spoken.append((used, speaker if speaker in known else None))
        if self.way == "stall":
            await asyncio.sleep(3600)
        sound = tone("wav", 2.0 * body.get("length_scale", 1.0), RATE)
        if self.way == "reset":
            response = web.StreamResponse(headers={"Content-Length": str(len(sound))})
            await response.prepare(request)
            await response.write(sound[: len(sound) // 2])
            assert request.transport is not None
            request.transport.close()
            return response
        return web.Response(
            body=sound[: len(sound) // 2] if self.way == "short" else sound, content_type="audio/wav"
        )
