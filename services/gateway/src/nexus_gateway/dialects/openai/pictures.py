"""The answers of POST images/generations, images/edits and images/variations: an object written while its pictures
come, or events that carry them.

No picture is kept here: its bytes are encoded piece by piece. What fails in the middle of one breaks the connection:
whatever followed would be read as a part of it.
"""

from __future__ import annotations

import asyncio
import binascii
import time
from collections.abc import AsyncIterator
from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from nexus.inference.v1 import inference_pb2
from nexus_operations import PICTURES, Operation

from nexus_gateway.core import InferenceRequest
from nexus_gateway.dialects.errors import error_object
from nexus_gateway.dialects.openai.media import Outputs, malformed, unended
from nexus_gateway.dialects.own_headers import served_headers
from nexus_gateway.http import Exchange, Failure, Header, beat

__all__ = ["COMPLETED", "STREAMED", "Picture", "PictureList", "Usage", "send_pictures"]

Messages = AsyncIterator[inference_pb2.StreamResponse]
PARTIAL, COMPLETED = ".partial_image", ".completed"
STREAMED = {int(Operation.IMAGE): "image_generation", int(Operation.IMAGE_EDIT): "image_edit"}
"""How the events of each kind of work are called."""
Quality = Literal["low", "medium", "high", "xhigh", "max", "auto", "standard", "hd"]
ANSWERED = frozenset({"low", "medium", "high", "xhigh", "max"})
"""Qualities that OpenAI's answers can say."""
OWN = {"standard": "medium", "hd": "high"}
"""How events call those of the older names."""

_encode = msgspec.json.Encoder().encode


class Facts(Struct):
    """What a backend knows of a picture when it is made."""

    size: str | UnsetType = UNSET
    background: Literal["transparent", "opaque"] | UnsetType = UNSET
    quality: Quality | UnsetType = UNSET
    revised_prompt: str | UnsetType = UNSET
    seed: int | UnsetType = UNSET


class InputDetails(Struct):
    text_tokens: int
    image_tokens: int = 0


class Usage(Struct):
    """In tokens. Engines that paint count none: the prompt's are an estimate then."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputDetails


NOTHING = Usage(0, 0, 0, InputDetails(0))
"""Of all pictures of a stream but the last: that one tells what they took together."""


class Picture(Struct):
    """`seed`: what its noise came from, where the backend says; the same one makes the same picture again."""

    b64_json: str
    revised_prompt: str | UnsetType = UNSET
    seed: int | UnsetType = UNSET


class PictureList(Struct):
    created: int
    data: list[Picture]
    output_format: str
    usage: Usage
    size: str | UnsetType = UNSET
    quality: Literal["low", "medium", "high", "xhigh", "max"] | UnsetType = UNSET
    background: Literal["transparent", "opaque"] | UnsetType = UNSET


async def send_pictures(
    exchange: Exchange, request: InferenceRequest, messages: Messages, keep_alive_seconds: float
) -> None:
    """Returns when all were sent whole. MeshError, whether or not a part of them was sent already."""
    outputs = Outputs(PICTURES[request.body["output_format"]], request.answers)
    if request.stream:
        await _Events(exchange, request, outputs, keep_alive_seconds).send(messages)
    else:
        await _send_object(exchange, request, messages, outputs)


async def _send_object(
    exchange: Exchange, request: InferenceRequest, messages: Messages, outputs: Outputs
) -> None:
    """The head waits for the first bytes, so that what fails before is a true status."""
    headers: list[Header] = []
    encoded, facts = Base64(), Facts()
    async for message in messages:
        if message.HasField("served"):
            headers = served_headers(message.served)
        event = message.WhichOneof("event")
        if event == "media":
            for media in outputs.take(message.media):
                if media.HasField("preview"):
                    continue  # nobody has asked for one
                if not exchange.status:
                    await exchange.start_bytes(b"application/json", headers)
                    await exchange.write(b'{"created":%d,"data":[' % time.time())
                text = encoded.more(media.data)
                if not encoded.open:
                    encoded.open = True
                    text = (b"," if media.index else b"") + b'{"b64_json":"' + text
                if media.last:
                    facts = _facts(media.json)
                    text += encoded.end() + b'"' + _rest(_of_one(facts))
                if text:
                    await exchange.write(text)
        elif event == "finish":
            outputs.finish()
            if not exchange.status:
                raise malformed("The backend's answer has no picture in it.")
            await exchange.end(b"]" + _rest(_of_all(request, facts, message.finish)))
            return
    raise unended()


class Base64:
    """One text after the other, made of bytes in pieces of any length."""

    def __init__(self) -> None:
        self._left = b""
        self.open = False

    def more(self, data: bytes) -> bytes:
        """The text that is certain by now."""
        data = self._left + data if self._left else data
        whole = len(data) - len(data) % 3
        self._left = data[whole:]
        return binascii.b2a_base64(memoryview(data)[:whole], newline=False)

    def end(self) -> bytes:
        """The rest of it."""
        left, self._left, self.open = self._left, b"", False
        return binascii.b2a_base64(left, newline=False)


class _Events:
    """Between two events a comment tells how far it is, and one that nothing is wrong; within one there is only it."""

    def __init__(
        self, exchange: Exchange, request: InferenceRequest, outputs: Outputs, keep_alive_seconds: float
    ) -> None:
        self._exchange, self._request, self._outputs = exchange, request, outputs
        self._pause = keep_alive_seconds
        self._heart: asyncio.Task[None] | None = None
        self._encoded = Base64()
        self._kind = STREAMED[request.operation]
        self._last: dict[str, object] | None = None
        """What ends the last event, beside the usage, which is known when all has ended well."""

    async def send(self, messages: Messages) -> None:
        first = await anext(messages, None)
        if first is None:
            raise unended()
        await self._exchange.start_events(served_headers(first.served), _failed)
        await self._between()
        try:
            await self._hear(first)
            async for message in messages:
                if message.HasField("finish"):
                    await self._finish(message.finish)
                    return
                await self._hear(message)
        finally:
            if self._heart is not None:
                self._heart.cancel()
        raise unended()

    async def _hear(self, message: inference_pb2.StreamResponse) -> None:
        event = message.WhichOneof("event")
        if event == "media":
            for media in self._outputs.take(message.media):
                if not media.HasField("preview") or media.preview < self._request.body.get(
                    "partial_images", 0
                ):
                    await self._write(media)
        elif event == "progress" and message.progress.total and not self._encoded.open:
            done = message.progress
            unit = f" {done.unit}" if done.unit.isalpha() else ""
            await self._exchange.write(f": {done.done}/{done.total}{unit}\n\n".encode())

    async def _write(self, media: inference_pb2.Media) -> None:
        text = self._encoded.more(media.data)
        is_partial = media.HasField("preview")
        kind = self._kind + (PARTIAL if is_partial else COMPLETED)
        is_last = not is_partial and media.index + 1 == self._request.answers
        if not self._encoded.open:
            self._encoded.open = True
            await self._within()
            begin = f'event: {kind}\ndata: {{"type":"{kind}","b64_json":"'
            text = begin.encode() + text
        if media.last:
            text += self._encoded.end() + b'"'
            told = self._told(media)
            if is_last:
                self._last = told
            else:
                rest = {"partial_image_index": media.preview} if is_partial else {"usage": NOTHING}
                text += _rest(told | rest) + b"\n\n"
        if text:
            await self._exchange.write(text)
        if media.last and not is_last:
            await self._between()

    async def _finish(self, finish: inference_pb2.Finish) -> None:
        self._outputs.finish()
        if self._last is None:
            raise malformed("The backend's answer has no picture in it.")
        await self._exchange.end(_rest({**self._last, "usage": _usage(self._request, finish)}) + b"\n\n")

    def _told(self, media: inference_pb2.Media) -> dict[str, object]:
        facts, body = _facts(media.json), self._request.body
        quality = body.get("quality", "auto") if facts.quality is UNSET else facts.quality
        told: dict[str, object] = {
            "created_at": int(time.time()),
            "size": body.get("size", "auto") if facts.size is UNSET else facts.size,
            "quality": OWN.get(quality, quality),
            "background": body.get("background", "auto") if facts.background is UNSET else facts.background,
            "output_format": body["output_format"],
        }
        if self._request.answers > 1:
            told["index"] = media.index
        return told | _of_one(facts)

    async def _between(self) -> None:
        """From here on a failure is an event of its own."""
        self._exchange.tail, self._exchange.breakable = _failed, False
        self._heart = asyncio.create_task(beat(self._exchange, self._pause), name="sse keep-alive")

    async def _within(self) -> None:
        """From here on it would be read as a part of the one that has begun."""
        self._exchange.tail, self._exchange.breakable = None, True
        if self._heart is not None:
            self._heart.cancel()


def _facts(text: str) -> Facts:
    try:
        return msgspec.json.decode(text or "{}", type=Facts)
    except msgspec.MsgspecError:
        raise malformed("The backend says something of its picture that breaks the OpenAI format.") from None


def _of_one(facts: Facts) -> dict[str, object]:
    told = {"revised_prompt": facts.revised_prompt, "seed": facts.seed}
    return {name: value for name, value in told.items() if value is not UNSET}


def _of_all(request: InferenceRequest, facts: Facts, finish: inference_pb2.Finish) -> dict[str, object]:
    """Of pictures that were asked for together: what is known of the last one holds for all."""
    quality = OWN.get(str(facts.quality), facts.quality)
    told = {
        "output_format": request.body["output_format"],
        "size": facts.size,
        "background": facts.background,
        "quality": quality if quality in ANSWERED else UNSET,
        "usage": _usage(request, finish),
    }
    return {name: value for name, value in told.items() if value is not UNSET}


def _rest(told: dict[str, object]) -> bytes:
    """The end of an object that has begun, with these in it."""
    return b"," + _encode(told)[1:] if told else b"}"


def _usage(request: InferenceRequest, finish: inference_pb2.Finish) -> Usage:
    used = finish.usage
    read = used.prompt_tokens or request.prompt.tokens
    total = read + used.completion_tokens
    return Usage(
        read,
        used.completion_tokens,
        total,
        InputDetails(read - used.prompt_image_tokens, used.prompt_image_tokens),
    )


def _failed(error: Failure) -> bytes:
    told = _encode({"type": "error", "error": error_object(error, mid_stream=True)})
    return b"event: error\ndata: " + told + b"\n\n"
