"""A chat with sound, where its model hears none and no model of the mesh speaks in a chat: a recording is transcribed
first, the answer is spoken after. What was done so is told in the header X-Nexus-Chain."""

from __future__ import annotations

import asyncio
import binascii
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import JsonObject, MeshError, Reason
from nexus_routing import Explanation

from nexus_gateway.access import Principal
from nexus_gateway.core import InferenceRequest
from nexus_gateway.dialects.casting import NO_EARS, Speaker, as_kept, missing_part, parts_of
from nexus_gateway.dialects.chain import Caller, Chain
from nexus_gateway.dialects.dialect import ModelRow
from nexus_gateway.dialects.own_headers import CHAIN, header_value
from nexus_gateway.dialects.sentences import Sentences, is_spoken
from nexus_gateway.http import Exchange
from nexus_gateway.validation import check_request, invalid

__all__ = ["Spoken", "SpokenPipeline", "Wish", "hear", "spoken_body", "spoken_messages", "take_wish"]

Messages = AsyncIterator[inference_pb2.StreamResponse]
SPEECH_FORMATS = {form: form for form in ("wav", "aac", "mp3", "flac", "opus")} | {"pcm16": "pcm"}
"""Formats of a chat's sound, as those of speech."""
RECORDINGS = {"wav": "audio/wav", "mp3": "audio/mpeg"}


class SpokenPipeline(Protocol):
    """The part of the pipeline that such a chat uses beside that of any other."""

    def stream(self, request: InferenceRequest) -> AbstractAsyncContextManager[Messages]: ...

    def models(self, principal: Principal | None = None) -> Iterable[ModelRow]: ...

    async def explain(self, request: InferenceRequest, prompt_tokens: int = 0) -> Explanation: ...


class VoiceId(Struct, forbid_unknown_fields=True):
    id: str


class Wish(Struct, forbid_unknown_fields=True):
    """OpenAI's parameter `audio` of a chat."""

    voice: str | VoiceId
    format: Literal["wav", "aac", "mp3", "flac", "opus", "pcm16"]

    @property
    def named(self) -> str:
        return self.voice.id if isinstance(self.voice, VoiceId) else self.voice


def take_wish(body: JsonObject) -> Wish | None:
    """How the answer is to be spoken; what is left asks for text alone. Raises INVALID_REQUEST."""
    wanted, given = body.get("modalities"), body.get("audio")
    if not isinstance(wanted, list) or "audio" not in wanted:
        if given is None:
            return None
        raise invalid("invalid_value", "'audio' must stand beside 'modalities': ['text', 'audio'].", "audio")
    if sorted(map(str, wanted)) != ["audio", "text"]:
        raise invalid(
            "invalid_value", "'modalities' must be ['text', 'audio'], or be left out.", "modalities"
        )
    try:
        wish = msgspec.convert(given, Wish)
    except msgspec.ValidationError:
        forms = ", ".join(SPEECH_FORMATS)
        raise invalid(
            "invalid_value", f"'audio' must be {{'voice': NAME, 'format': one of {forms}}}.", "audio"
        ) from None
    if body.get("stream") and wish.format != "pcm16":
        raise invalid("invalid_value", "'audio.format' must be 'pcm16' when it is streamed.", "audio.format")
    if body.get("n") not in (None, 1):
        raise invalid("invalid_value", "'n' must be 1 where the answer is spoken.", "n")
    del body["modalities"], body["audio"]
    return wish


class Spoken:
    """A chain for one request."""

    def __init__(self, pipeline: SpokenPipeline, exchange: Exchange, request: InferenceRequest) -> None:
        self._pipeline = pipeline
        self._exchange = exchange
        self._parts = parts_of(pipeline.models(as_kept(exchange.caller, request.zone)))
        self.chain = Chain(pipeline, Caller(self._now, request.zone, request.priority))
        self.links = [request.model]

    async def _now(self) -> Principal:
        return self._exchange.caller

    def tell(self) -> None:
        """Who does what, on the answer's head, whatever that will be."""
        told = header_value(" > ".join(self.links))
        others = [header for header in self._exchange.always if header[0] != CHAIN]
        self._exchange.always = (*others, (CHAIN, told))

    def speaker(self, wish: Wish) -> Speaker:
        """Raises MeshError."""
        speaker = Speaker.of(self._parts, None, wish.named, "audio")
        self.links.append(speaker.model)
        self.tell()
        return speaker

    @property
    def ears(self) -> str:
        """The model that listens. Raises CAPABILITY_MISSING."""
        if not self._parts.ears:
            raise missing_part(NO_EARS, "messages")
        return self._parts.ears[0]


async def hear(spoken: Spoken, pipeline: SpokenPipeline, request: InferenceRequest) -> InferenceRequest:
    """The request with what was said in place of the recordings, unless some backend hears them itself."""
    if await _is_possible(pipeline, request):
        return request
    body = request.body
    deaf = _changed(request, body, [])
    if not await _is_possible(pipeline, deaf):
        return request  # the reason is another one: the pipeline tells it
    ears, words = spoken.ears, list[str]()
    for recording in _recordings(body):
        sound = _decoded(recording["data"])
        words.append((await spoken.chain.transcribe(ears, sound, RECORDINGS[recording["format"]])).text)
    spoken.links.insert(0, ears)
    spoken.tell()
    return _changed(request, body, words)


async def _is_possible(pipeline: SpokenPipeline, request: InferenceRequest) -> bool:
    return any(verdict.rank for verdict in (await pipeline.explain(request)).verdicts)


def _recordings(body: JsonObject) -> list[JsonObject]:
    return [
        part["input_audio"]
        for message in body["messages"]
        if isinstance(message.get("content"), list)
        for part in message["content"]
        if part["type"] == "input_audio"
    ]


def _changed(request: InferenceRequest, body: JsonObject, words: list[str]) -> InferenceRequest:
    """The same with a text for each recording; `words` may be fewer, for a request that is not run."""
    said, messages = iter(words), list[JsonObject]()
    for message in body["messages"]:
        content = message.get("content")
        if isinstance(content, list):
            content = [
                {"type": "text", "text": next(said, "")} if part["type"] == "input_audio" else part
                for part in content
            ]
            if all(part["type"] == "text" for part in content):
                content = "\n".join(part["text"] for part in content if part["text"])
        messages.append({**message, "content": content} if "content" in message else message)
    changed = check_request(
        request.operation,
        {**body, "messages": messages},
        size=0,
        request_id=request.request_id,
        principal=request.principal,
    )
    changed.zone, changed.priority = request.zone, request.priority
    return changed


def _decoded(data: str) -> bytes:
    try:
        return binascii.a2b_base64(
            data.partition(",")[2] if data.startswith("data:") else data, strict_mode=True
        )
    except ValueError:
        raise invalid("invalid_value", "The data of input_audio must be base64.", "messages") from None


async def spoken_body(spoken: Spoken, wish: Wish, request: InferenceRequest, body: bytes) -> bytes:
    """The whole answer, its text spoken. Raises MeshError."""
    answer: dict[str, Any] = msgspec.json.decode(body)
    message = answer["choices"][0].get("message") or {}
    text = message.get("content") or ""
    if is_spoken(text):
        sound, speaker = bytearray(), spoken.speaker(wish)
        order = _order(speaker, wish, text)
        async with aclosing(spoken.chain.speak(order, SPEECH_FORMATS[wish.format])) as pieces:
            async for piece in pieces:
                sound += piece.data
        message["content"] = None
        message["audio"] = {
            "id": _audio_id(request),
            "data": binascii.b2a_base64(sound, newline=False).decode(),
            "transcript": text,
            "expires_at": int(time.time()),
        }
    return msgspec.json.encode(answer)


async def spoken_messages(
    spoken: Spoken, wish: Wish, request: InferenceRequest, messages: Messages
) -> AsyncGenerator[inference_pb2.StreamResponse, None]:
    """A streamed answer whose text is spoken sentence by sentence, each told as its sound begins."""
    speaker, first = spoken.speaker(wish), await anext(messages, None)
    if first is None:
        raise _unended()
    waiting: asyncio.Queue[str | inference_pb2.StreamResponse | None] = asyncio.Queue()
    writing = asyncio.create_task(_write(first, messages, waiting), name="chat to be spoken")
    try:
        begun = _delta({"role": "assistant", "audio": {"id": _audio_id(request)}})
        begun.served.CopyFrom(first.served)
        yield begun
        while (item := await waiting.get()) is not None:
            if isinstance(item, inference_pb2.StreamResponse):
                yield item
                continue
            yield _delta({"audio": {"transcript": item}})
            if is_spoken(item):
                async with aclosing(spoken.chain.speak(_order(speaker, wish, item))) as pieces:
                    async for piece in pieces:
                        data = binascii.b2a_base64(piece.data, newline=False).decode()
                        yield _delta({"audio": {"data": data}})
        finish, reason = await writing
        yield _delta({"audio": {"expires_at": int(time.time())}})
        yield _delta({}, reason)
        yield finish
    finally:
        writing.cancel()
        await asyncio.wait({writing})


async def _write(
    first: inference_pb2.StreamResponse,
    rest: Messages,
    waiting: asyncio.Queue[str | inference_pb2.StreamResponse | None],
) -> tuple[inference_pb2.StreamResponse, str]:
    """Sentences, and what is not text as it comes, for whoever speaks. The end, and why."""
    sentences, reason = Sentences(), "stop"
    try:
        async for message in _with(first, rest):
            if message.HasField("finish"):
                if last := sentences.rest():
                    waiting.put_nowait(last)
                return message, reason
            for text in message.chunks.json:
                for choice in _choices(text):
                    delta = dict(choice.get("delta") or {})
                    reason = choice.get("finish_reason") or reason
                    for sentence in sentences.feed(delta.pop("content", None) or ""):
                        waiting.put_nowait(sentence)
                    delta.pop("role", None)
                    if delta:
                        waiting.put_nowait(_delta(delta))
    finally:
        waiting.put_nowait(None)
    raise _unended()


async def _with(first: inference_pb2.StreamResponse, rest: Messages) -> Messages:
    yield first
    async for message in rest:
        yield message


def _unended() -> MeshError:
    return MeshError(Reason.UPSTREAM_MALFORMED, "The backend's stream ended without its end mark.")


class _Chunk(Struct):
    choices: list[dict[str, Any]]


def _choices(text: str) -> list[dict[str, Any]]:
    try:
        return msgspec.json.decode(text, type=_Chunk).choices
    except (ValueError, RecursionError):
        raise MeshError(
            Reason.UPSTREAM_MALFORMED, "The backend sent a chunk that breaks the OpenAI format."
        ) from None


def _delta(delta: JsonObject, finish: str | None = None) -> inference_pb2.StreamResponse:
    chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return inference_pb2.StreamResponse(
        chunks=inference_pb2.Chunks(json=[msgspec.json.encode(chunk).decode()])
    )


def _order(speaker: Speaker, wish: Wish, text: str) -> JsonObject:
    return {"model": speaker.model, "voice": wish.named, "input": text.strip()}


def _audio_id(request: InferenceRequest) -> str:
    return "audio_" + request.request_id.removeprefix("req_")
