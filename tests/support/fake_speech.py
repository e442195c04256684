"""The base of fakes that speak by OpenAI's API: sound in pieces, and every way in which it can end too early."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Literal

from aiohttp import web
from support.fake_server import FakeServer
from support.sound_files import tone, unknown_length

__all__ = ["FakeSpeech", "Way"]

Way = Literal["whole", "reset", "short", "stall", "endless", "unended", "other", "silent"]
"""whole: as it should be. reset: the connection breaks in the middle. short: half, and a good end of the body. stall:
half, then nothing more. endless: it never ends. unended: neither a length nor chunks. other: sound of another format.
silent: no sound at all."""
PIECE = 4096


class FakeSpeech(FakeServer):
    """`types` are the media types it tells, by format."""

    types: ClassVar[dict[str, str]]
    rate = 24_000

    def __init__(self) -> None:
        super().__init__()
        self.way: Way = "whole"
        self.sent = 0
        """Bytes of sound so far."""

    def sound(self, form: str) -> bytes:
        made = tone(form, rate=self.rate)
        return unknown_length(made) if form == "wav" else made

    async def speak(self, request: web.Request, form: str) -> web.StreamResponse:
        data = self.sound("flac" if self.way == "other" and form != "flac" else form)
        if self.way == "short":
            data = data[: len(data) // 2]
        response = web.StreamResponse(headers={"Content-Type": self.types[form]})
        if self.way == "unended":
            response.force_close()
            response._length_check = False
            response.headers["Connection"] = "close"
        else:
            response.enable_chunked_encoding()
        await response.prepare(request)
        if self.way == "silent":
            await response.write_eof()
            return response
        while True:
            for at in range(0, len(data), PIECE):
                await response.write(data[at : at + PIECE])
                self.sent += PIECE
                if at >= len(data) // 2 and self.way in ("reset", "stall"):
                    if self.way == "stall":
                        await asyncio.sleep(3600)
                    assert request.transport is not None
                    request.transport.close()
                    return response
            if self.way != "endless":
                await response.write_eof()
                return response
