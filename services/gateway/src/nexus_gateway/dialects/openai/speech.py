"""The answer of POST audio/speech: the sound itself as it is made, or events that carry it; and GET audio/voices, and
audio/models, from what backends say of their parameters."""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal, cast

import msgspec
from msgspec import Struct, field
from nexus.inference.v1 import inference_pb2
from nexus_operations import AUDIO, Operation

from nexus_gateway.core import InferenceRequest
from nexus_gateway.dialects.dialect import ModelRow
from nexus_gateway.dialects.errors import error_object
from nexus_gateway.dialects.openai.media import Outputs, malformed, unended
from nexus_gateway.dialects.openai.models import Catalog
from nexus_gateway.dialects.own_headers import served_headers
from nexus_gateway.http import Exchange, Failure, Header, beat

__all__ = [
    "DELTA",
    "SpeechModel",
    "SpeechModelList",
    "SpeechRoutes",
    "Voice",
    "VoiceList",
    "send_speech",
]

Messages = AsyncIterator[inference_pb2.StreamResponse]
DELTA, DONE = b'data: {"type":"speech.audio.delta","audio":"', "speech.audio.done"

_encode = msgspec.json.Encoder().encode


async def send_speech(
    exchange: Exchange, request: InferenceRequest, messages: Messages, keep_alive_seconds: float
) -> None:
    """Returns when the sound was sent whole. MeshError, whether or not a part of it was sent already."""
    output = Outputs(AUDIO[request.body["response_format"]])
    if request.stream:
        await _send_events(exchange, request, messages, output, keep_alive_seconds)
    else:
        await _send_sound(exchange, messages, output)


async def _send_sound(exchange: Exchange, messages: Messages, output: Outputs) -> None:
    """The head waits for the first sound, so that what fails before is a true status."""
    headers: list[Header] = []
    async for message in messages:
        if message.HasField("served"):
            headers = served_headers(message.served)
        event = message.WhichOneof("event")
        if event == "media":
            for data in _sound_of(output, message.media):
                if not exchange.status:
                    await exchange.start_bytes(output.media_type.encode(), headers)
                await exchange.write(data)
        elif event == "finish":
            output.finish()
            if not exchange.status:
                raise malformed("The backend's answer has no sound in it.")
            await exchange.end(b"")
            return
    raise unended()


async def _send_events(
    exchange: Exchange,
    request: InferenceRequest,
    messages: Messages,
    output: Outputs,
    keep_alive_seconds: float,
) -> None:
    first = await anext(messages, None)
    if first is None:
        raise unended()
    await exchange.start_events(served_headers(first.served), _failed)
    heart = asyncio.create_task(beat(exchange, keep_alive_seconds), name="sse keep-alive")
    try:
        async for message in _with(first, messages):
            event = message.WhichOneof("event")
            if event == "media":
                for data in _sound_of(output, message.media):
                    encoded = binascii.b2a_base64(data, newline=False)
                    await exchange.write(b"".join((DELTA, encoded, b'"}\n\n')))
            elif event == "finish":
                output.finish()
                await exchange.end(_done(request, message.finish))
                return
    finally:
        heart.cancel()
    raise unended()


async def _with(first: inference_pb2.StreamResponse, rest: Messages) -> Messages:
    yield first
    async for message in rest:
        yield message


def _done(request: InferenceRequest, finish: inference_pb2.Finish) -> bytes:
    """The last event. Speech is not counted in tokens by engines that speak: the text's are an estimate then."""
    used = finish.usage
    read = used.prompt_tokens or request.prompt.tokens
    usage = {
        "input_tokens": read,
        "output_tokens": used.completion_tokens,
        "total_tokens": read + used.completion_tokens,
    }
    return b"data: " + _encode({"type": DONE, "usage": usage}) + b"\n\n"


def _failed(error: Failure) -> bytes:
    return b"data: " + _encode({"error": error_object(error, mid_stream=True)}) + b"\n\n"


def _sound_of(output: Outputs, media: inference_pb2.Media) -> Iterator[bytes]:
    """Bytes of the sound itself: a preview of it is nothing to hear."""
    return (each.data for each in output.take(media) if each.data and not each.HasField("preview"))


class Voice(Struct):
    """`languages`: BCP 47 tags, the best first; empty = its backend does not say."""

    id: str
    name: str
    languages: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)


class VoiceList(Struct):
    voices: list[Voice]
    object: Literal["list"] = "list"


class SpeechModel(Struct):
    """A model that speaks."""

    id: str
    object: Literal["model"] = "model"


class SpeechModelList(Struct):
    models: list[SpeechModel]
    object: Literal["list"] = "list"


class SpeechRoutes:
    """The two handlers."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def voices(self, exchange: Exchange) -> None:
        voices: dict[str, Voice] = {}
        for row in self._rows(exchange):
            for voice in _voices(row):
                known = voices.setdefault(voice.id, voice)
                if row.id not in known.models:
                    known.models.append(row.id)
        await exchange.respond(200, _encode(VoiceList([voices[name] for name in sorted(voices)])))

    async def models(self, exchange: Exchange) -> None:
        await exchange.respond(
            200, _encode(SpeechModelList([SpeechModel(row.id) for row in self._rows(exchange)]))
        )

    def _rows(self, exchange: Exchange) -> list[ModelRow]:
        rows = self._catalog.models(exchange.caller)
        return [row for row in rows if Operation.SPEECH in row.operations]


def _voices(row: ModelRow) -> Iterator[Voice]:
    """Those that are named in what a model's backends say of its parameters."""
    for operation, text in row.parameters:
        if operation == Operation.SPEECH:
            try:
                rule = msgspec.json.decode(text, type=dict[str, Any])["properties"]["voice"]
                yield from (_voice(one) for one in rule.get("oneOf", ()))
                yield from (Voice(str(name), str(name)) for name in rule.get("enum", ()))
            except (msgspec.MsgspecError, LookupError, TypeError, AttributeError):
                continue  # one backend's nonsense takes nothing from the others


def _voice(choice: dict[str, Any]) -> Voice:
    languages = choice.get("languages", ())
    return Voice(
        str(choice["const"]),
        str(choice.get("title", choice["const"])),
        [str(one) for one in cast(Any, languages)],
    )
