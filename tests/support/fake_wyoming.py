"""A server of Wyoming, by the `wyoming` package's own reading and writing: piper and faster-whisper in one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Literal, Self

from support.sound_files import tone
from wyoming.event import Event, async_read_event, async_write_event

__all__ = ["TEXT", "FakeWyoming", "Way"]

Way = Literal["whole", "reset", "stall", "error", "liar", "nonsense", "stereo", "pieces", "endless"]
"""whole: as it should be. reset: the connection ends in the middle. stall: it says nothing more. error: an event that
tells of one. liar: an event that tells of more bytes than any has. nonsense: no JSON. stereo: sound of two channels.
pieces: a transcript piece by piece. endless: sound without an end."""
TEXT = "Good morning. How are you?"
RATE, PIECE = 22_050, 2048
BY = {"attribution": {"name": "a test", "url": ""}, "installed": True, "version": "1"}
INFO: dict[str, Any] = {
    "tts": [
        {"name": "piper", "description": "A fast voice", **BY, "voices": [
            {"name": "en_US-joe-medium", "description": "joe (medium)", "languages": ["en_US"], "speakers": None, **BY},
            {"name": "en_GB-vctk-medium", "description": "vctk", "languages": ["en_GB"],
             "speakers": [{"name": "p1"}, {"name": "p2"}], **BY},
            {"name": "de_DE-not-here", "languages": ["de_DE"], **BY, "installed": False},
        ]}
    ],
    "asr": [
        {"name": "faster-whisper", **BY, "models": [{"name": "base-int8", "languages": ["en", "de"], **BY}]},
    ],
    "handle": [], "intent": [], "wake": [], "mic": [], "snd": [],
}  # fmt: skip


class FakeWyoming:
    def __init__(self) -> None:
        self.way: Way = "whole"
        self.asked: list[Event] = []
        self.heard = b""
        self.sent = 0
        self.open = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while (event := await async_read_event(reader)) is not None:
                    await self._answer(event, reader, writer)
        finally:
            self.open -= 1
            writer.close()

    async def _answer(self, event: Event, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if event.type == "describe":
            await async_write_event(Event("info", INFO), writer)
        elif event.type == "synthesize":
            self.asked.append(event)
            await self._speak(reader, writer)
        elif event.type == "transcribe":
            self.asked.append(event)
            self.heard = b""
        elif event.type == "audio-chunk":
            self.heard += event.payload or b""
        elif event.type == "audio-stop":
            await self._tell(reader, writer)

    async def _speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sound = {"rate": RATE, "width": 2, "channels": 2 if self.way == "stereo" else 1}
        if self.way == "error":
            await async_write_event(Event("error", {"text": "the voice broke", "code": "TtsError"}), writer)
            return
        await async_write_event(Event("audio-start", {**sound, "timestamp": 0}), writer)
        data = tone("pcm", 2.0, RATE)
        while True:
            for at in range(0, len(data), PIECE):
                chunk = Event("audio-chunk", {**sound, "timestamp": None}, data[at : at + PIECE])
                await async_write_event(chunk, writer)
                self.sent += PIECE
                if at >= len(data) // 2 and await self._goes_wrong(reader, writer):
                    return
            if self.way != "endless":
                break
        await async_write_event(Event("audio-stop", {"timestamp": None}), writer)

    async def _tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.way == "pieces":
            await async_write_event(Event("transcript-start", {"language": "en"}), writer)
            for piece in ("Good morning.", " How are you?"):
                await async_write_event(Event("transcript-chunk", {"text": piece}), writer)
            await async_write_event(Event("transcript", {"text": TEXT}), writer)
            await async_write_event(Event("transcript-stop"), writer)
        elif not await self._goes_wrong(reader, writer):
            await async_write_event(Event("transcript", {"text": TEXT, "language": "en"}), writer)

    async def _goes_wrong(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if self.way == "stall":
            await reader.read()  # until the other end leaves
        elif self.way == "liar":
            writer.write(b'{"type": "audio-chunk", "payload_length": 99999999999}\n')
        elif self.way == "nonsense":
            writer.write(b"hello\n")
        elif self.way != "reset":
            return False
        writer.close()
        return True
