"""The base of fakes that hear by HTTP: what they got of a form, and every way in which a transcript ends too early."""

from __future__ import annotations

import asyncio
import io
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web
from multipart import MultipartParser
from support.fake_server import RECORD, FakeServer

__all__ = ["SECONDS", "SEGMENTS", "TEXT", "WORDS", "FakeHearing", "Heard", "Way"]

Way = Literal["whole", "reset", "short", "stall", "error", "nonsense"]
"""whole: as it should be. reset: the connection breaks in the middle. short: a stream without its end mark. stall:
nothing comes. error: what the server says when it fails. nonsense: JSON that is none."""
TEXTS = (" Good morning.", " How are you?")
TEXT = "".join(TEXTS).strip()
SEGMENTS: list[dict[str, Any]] = [
    {"id": at + 1, "seek": 0, "start": at * 1.5, "end": at * 1.5 + 1.25, "text": text, "tokens": [50364, 2205, 2446],
     "temperature": 0.0, "avg_logprob": -0.25, "compression_ratio": 0.75, "no_speech_prob": 0.01}
    for at, text in enumerate(TEXTS)
]  # fmt: skip
WORDS = [{"word": word, "start": at * 0.5, "end": at * 0.5 + 0.4} for at, word in enumerate(TEXT.split())]
SECONDS = 3.0


@dataclass
class Heard:
    """A form: its fields by name, each with all its values, and the file."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    filename: str = ""
    file: bytes = b""


class FakeHearing(FakeServer):
    def __init__(self) -> None:
        super().__init__()
        self.hearing: Way = "whole"
        self.heard: list[Heard] = []

    def form(self, request: web.Request) -> Heard:
        """Raises web.HTTPUnprocessableEntity for what has no file."""
        heard = Heard()
        boundary = request.headers["Content-Type"].partition("boundary=")[2]
        for part in MultipartParser(io.BytesIO(request[RECORD].raw), boundary):
            if part.filename:
                heard.filename, heard.file = part.filename, part.raw
            else:
                heard.fields.setdefault(str(part.name), []).append(part.value)
            part.close()
        if not heard.filename:
            raise web.HTTPUnprocessableEntity
        self.heard.append(heard)
        return heard

    async def events(self, request: web.Request, rows: list[dict[str, Any] | str]) -> web.StreamResponse:
        """A stream; the last row is its end mark."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for row in rows[:-1] if self.hearing in ("short", "reset") else rows:
            text = row if isinstance(row, str) else json.dumps(row)
            await response.write(f"data: {text}\n\n".encode())
            if self.hearing == "stall":
                await asyncio.sleep(3600)
        if self.hearing == "reset":
            assert request.transport is not None
            request.transport.close()
        else:
            await response.write_eof()
        return response

    async def trouble(self, request: web.Request) -> web.StreamResponse | None:
        """What goes wrong with a whole answer."""
        if self.hearing == "stall":
            await asyncio.sleep(3600)
        if self.hearing == "reset":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        return (
            web.Response(text='{"text": ', content_type="application/json")
            if self.hearing == "nonsense"
            else None
        )
