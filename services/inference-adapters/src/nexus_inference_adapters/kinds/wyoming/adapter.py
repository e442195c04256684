"""A server of Wyoming: whatever it says that it can, speak or hear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import ClassVar

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters import contract
from nexus_inference_adapters.audio import (
    TRANSCODER,
    Sound,
    Transcript,
    Voice,
    decoded,
    delta,
    done,
    encoded,
    hearing_model,
    speech_model,
    text_of,
)
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.children import Workers
from nexus_inference_adapters.contract import (
    Adapter,
    Completed,
    Finish,
    Http,
    Inspection,
    JsonObject,
    Offer,
    Parts,
    Patience,
    Progress,
    Work,
    malformed,
)
from nexus_inference_adapters.kinds.wyoming.wire import Connection, Event, connected
from nexus_inference_adapters.vocabulary import SPEECH, operations_named

__all__ = ["Wyoming"]

LOOK_SECONDS = 5.0
CONNECT_SECONDS = 2.0
MOST_VOICES = 400
MOST_BYTES = 2 << 30
PIECE = 32 * 1024
SOUND: JsonObject = {"rate": 16_000, "width": 2, "channels": 1}
PLAIN = ("json", "text")
"""Formats of transcripts that tell no times: Wyoming has none."""


class _Speaker(msgspec.Struct):
    name: str


class _Part(msgspec.Struct):
    """A voice, or a model that hears."""

    name: str
    languages: list[str] = msgspec.field(default_factory=list)
    description: str | None = None
    installed: bool = True
    speakers: list[_Speaker] | None = None


class _Program(msgspec.Struct):
    name: str
    installed: bool = True
    voices: list[_Part] = msgspec.field(default_factory=list)
    models: list[_Part] = msgspec.field(default_factory=list)


class _Info(msgspec.Struct):
    """What it says of itself: the part that speaks, and the part that hears."""

    tts: list[_Program] = msgspec.field(default_factory=list)
    asr: list[_Program] = msgspec.field(default_factory=list)


class Wyoming(Adapter):
    """Each program that speaks is a model with its voices, each model that hears is one."""

    kind: ClassVar[str] = "wyoming"
    schemes: ClassVar[tuple[str, ...]] = ("tcp",)
    instead: ClassVar[str] = "Wyoming has no way to: start the server with the models you want."

    def __init__(self, config: BackendConfig, http: Http) -> None:
        super().__init__(config, http)
        self._encoders = Workers(TRANSCODER)
        self._url = config.url or ""

    async def close(self) -> None:
        await self._encoders.close()

    async def inspect(self) -> Inspection:
        info = await self._info()
        offers = [offer for program in info.tts if program.installed for offer in self._speaking(program)]
        offers += [offer for program in info.asr if program.installed for offer in self._hearing(program)]
        allowed = self.config.models
        offers = [offer for offer in offers if not allowed or offer.name in allowed]
        if not offers:
            told = f"It has nothing that speaks or hears, or more than {MOST_VOICES} voices: name some in `voices`."
            return Inspection(instance_pb2.STATE_UNHEALTHY, told)
        return Inspection(instance_pb2.STATE_ACTIVE, offers=offers)

    async def complete(self, work: Work, patience: Patience) -> Completed:  # noqa: ARG002 - the same for all
        raise MeshError(Reason.INVALID_REQUEST, "Speech and transcripts come as a stream only.")

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[contract.Event, None]:
        if work.operation != SPEECH and work.parts is None:
            raise MeshError(Reason.INVALID_REQUEST, "A recording comes with the request: send it by Upload.")
        events = self._speak(work, patience) if work.parts is None else self._hear(work, work.parts, patience)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _speak(self, work: Work, patience: Patience) -> AsyncGenerator[contract.Event, None]:
        name, _, speaker = work.body["voice"].partition(":")
        voice = {"name": name} | ({"speaker": speaker} if speaker else {})
        async with connected(self._url, patience.limits.connect) as connection:
            await patience.wait(
                connection.send(Event("synthesize", {"text": work.body["input"], "voice": voice}))
            )
            rate = _rate((await _next(connection, patience, "audio-start")).data)
            samples = _samples(connection, rate, patience)
            async with aclosing(encoded(self._encoders, work.body, rate, samples, patience)) as events:
                async for event in events:
                    yield event

    async def _hear(
        self, work: Work, parts: Parts, patience: Patience
    ) -> AsyncGenerator[contract.Event, None]:
        transcript = Transcript("transcribe", duration=0.0)
        async with parts.kept(MOST_BYTES) as files:
            yield Progress("decoding")
            async with (
                decoded(files["file"][0], patience) as sound,
                connected(self._url, patience.limits.connect) as connection,
            ):
                transcript.duration = sound.seconds
                yield Progress("hearing", 0, int(sound.seconds), "seconds")
                language = work.body.get("language")
                await self._send(connection, work.model, language, sound, patience)
                # A server hears a long recording in silence: from here on the whole time is its.
                with Patience(patience.limits, silence=patience.limits.total) as leisure:
                    async with aclosing(_words(connection, leisure)) as pieces:
                        async for piece in pieces:
                            transcript.segments.append({"text": piece})
                            if work.stream:
                                yield [delta(piece)]
        if work.stream:
            yield [done(transcript)]
        else:
            yield text_of(transcript, work.body.get("response_format") or "json", ())
        yield Finish(inference_pb2.Usage(input_seconds=transcript.duration))

    async def _send(
        self, connection: Connection, model: str, language: str | None, sound: Sound, patience: Patience
    ) -> None:
        asked: JsonObject = {"name": model} | ({"language": language} if language else {})
        await patience.wait(connection.send(Event("transcribe", asked)))
        await patience.wait(connection.send(Event("audio-start", SOUND)))
        while data := await asyncio.to_thread(sound.file.read, PIECE):
            await patience.wait(connection.send(Event("audio-chunk", SOUND, data)))
        await patience.wait(connection.send(Event("audio-stop")))

    async def _info(self) -> _Info:
        """Raises BACKEND_DOWN, STREAM_IDLE_TIMEOUT, UPSTREAM_MALFORMED."""
        try:
            async with (
                asyncio.timeout(LOOK_SECONDS),
                connected(self._url, CONNECT_SECONDS) as connection,
            ):
                await connection.send(Event("describe"))
                while (event := await connection.read()).type != "info":
                    pass
            return msgspec.convert(event.data, _Info)
        except TimeoutError:
            raise MeshError(
                Reason.STREAM_IDLE_TIMEOUT, "The backend did not answer `describe` in time."
            ) from None
        except msgspec.MsgspecError:
            raise malformed("What the backend says of itself is not Wyoming.") from None

    def _speaking(self, program: _Program) -> Iterator[Offer]:
        voices = [voice for part in program.voices if part.installed for voice in _voices(part)]
        if chosen := self.config.voices:
            voices = [voice for voice in voices if voice.id in chosen]
        if 0 < len(voices) <= MOST_VOICES:
            model = model_pb2.Model(id=program.name, operations=[SPEECH], owner=self.kind)
            yield Offer(speech_model(model, voices), program.name)

    def _hearing(self, program: _Program) -> Iterator[Offer]:
        for part in program.models:
            if part.installed:
                operations = operations_named(("transcription",))
                model = model_pb2.Model(id=part.name, operations=operations, owner=self.kind)
                told = hearing_model(
                    model, formats=PLAIN, languages=part.languages, more=("chunking_strategy",)
                )
                yield Offer(told, part.name)


def _voices(part: _Part) -> Iterator[Voice]:
    """By its name; each of several speakers by both."""
    yield Voice(part.name, part.description or part.name, part.languages)
    for speaker in part.speakers or ():
        yield Voice(f"{part.name}:{speaker.name}", f"{part.name}, {speaker.name}", part.languages)


async def _next(connection: Connection, patience: Patience, *wanted: str) -> Event:
    """The next of these types; others are passed by. Raises UPSTREAM_ERROR for one that tells of an error."""
    while (event := await patience.wait(connection.read())).type not in wanted:
        if event.type == "error":
            raise contract.from_event(
                {"error": {"message": event.data.get("text"), "code": event.data.get("code")}}
            )
    return event


async def _samples(connection: Connection, rate: int, patience: Patience) -> AsyncIterator[bytes]:
    while (event := await _next(connection, patience, "audio-chunk", "audio-stop")).type == "audio-chunk":
        if _rate(event.data) != rate:
            raise malformed("The backend changed the rate of its sound in the middle.")
        if event.payload:
            yield event.payload


async def _words(connection: Connection, patience: Patience) -> AsyncGenerator[str, None]:
    """Pieces of a transcript as they come, or all of it at once; ends with the good end alone."""
    pieces = False
    while True:
        event = await _next(connection, patience, "transcript", "transcript-chunk", "transcript-stop")
        text = event.data.get("text")
        if event.type == "transcript-stop":
            return
        if not isinstance(text, str):
            raise malformed("The backend's transcript has no text in it.")
        if event.type == "transcript-chunk":
            pieces = True
        if text and (event.type == "transcript-chunk" or not pieces):
            yield text
        if event.type == "transcript":
            return


def _rate(sound: JsonObject) -> int:
    """Raises UPSTREAM_MALFORMED for sound that is not of 16 bits, mono."""
    rate = sound.get("rate")
    if type(rate) is not int or (sound.get("width"), sound.get("channels")) != (2, 1):
        raise malformed("The backend's sound is not of 16 bits, mono.")
    return rate
