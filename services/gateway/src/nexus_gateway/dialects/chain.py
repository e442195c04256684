"""A chain of models where no single one does it all: what was said becomes text, a text becomes sound. Each link is a
request like any other of the same caller: its keys, zones, limits, queue and meters."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import JsonObject, MeshError, Reason, new_request_id
from nexus_operations import AUDIO, LARGEST_CHUNK, Operation

from nexus_gateway.access import Principal
from nexus_gateway.core import Files, InferenceRequest, Priority, Step
from nexus_gateway.validation import check_request

__all__ = [
    "PCM_RATE",
    "Caller",
    "Chain",
    "Heard",
    "Link",
    "Said",
    "Streaming",
]

Messages = AsyncIterator[inference_pb2.StreamResponse]
PCM_RATE = 24_000
"""Samples a second of the `pcm` of speech: of 16 bits, one channel, the lower byte first."""


class Streaming(Protocol):
    """The part of the pipeline that a chain uses."""

    def stream(self, request: InferenceRequest) -> AbstractAsyncContextManager[Messages]: ...


@dataclass(frozen=True, slots=True)
class Link:
    """One model of a chain and where it has worked."""

    operation: str
    model: str
    backend: str
    zone: str

    @classmethod
    def of(cls, operation: str, served: inference_pb2.Served) -> Link:
        return cls(operation, served.model, served.backend, served.zone)


@dataclass(frozen=True, slots=True)
class Heard:
    """What was said in a recording of `seconds`, 0 = its backend does not say."""

    text: str
    seconds: float
    link: Link


@dataclass(frozen=True, slots=True)
class Said:
    """Some sound of a text that is being spoken; of plain samples whole ones."""

    data: bytes
    link: Link


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose requests they are. `now`: who that is by now; raises MeshError once its key is revoked."""

    now: Callable[[], Awaitable[Principal]]
    zone: str | None
    priority: Priority


class Chain:
    """The links of one caller."""

    def __init__(self, pipeline: Streaming, caller: Caller) -> None:
        self._pipeline = pipeline
        self._caller = caller

    async def transcribe(
        self, model: str, file: bytes, mime_type: str, *, language: str = "", prompt: str = ""
    ) -> Heard:
        """What is said in a file of sound. Raises MeshError; cancelling frees the backend."""
        body: JsonObject = {"model": model, "response_format": "json"}
        body |= {name: said for name, said in (("language", language), ("prompt", prompt)) if said}
        request = await self.request(Operation.TRANSCRIPTION, body)
        request.files = _Recording(file, mime_type)
        served, answer, usage = inference_pb2.Served(), None, inference_pb2.Usage()
        async with self._pipeline.stream(request) as messages:
            async for message in messages:
                if message.HasField("served"):
                    served = message.served
                if message.HasField("answer"):
                    answer = message.answer
                if message.HasField("finish"):
                    usage = message.finish.usage
        if answer is None:
            raise _malformed("The backend's transcription ended before it was whole.")
        try:
            text = msgspec.json.decode(answer.body, type=_Text).text
        except (ValueError, RecursionError):
            raise _malformed("The backend's transcription breaks the OpenAI format.") from None
        return Heard(text.strip(), usage.input_seconds, Link.of("transcription", served))

    async def speak(self, body: JsonObject, form: str = "pcm") -> AsyncGenerator[Said, None]:
        """The sound of `input` as it is made, in a format of OpenAI's speech. Close it.

        Raises MeshError, and whatever has come is not whole then.
        """
        request = await self.request(Operation.SPEECH, {**body, "response_format": form})
        sample = 2 if form == "pcm" else 1
        link, odd, begun, whole = None, b"", False, False
        async with self._pipeline.stream(request) as messages:
            async for message in messages:
                if link is None or message.HasField("served"):
                    link = Link.of("speech", message.served)
                if message.HasField("media"):
                    media = message.media
                    if not begun:
                        _check_type(media.mime_type, form)
                    if whole or media.index or media.HasField("preview"):
                        raise _malformed("The backend sent more sound than was asked for.")
                    begun, whole = True, media.last
                    data = odd + media.data
                    odd = data[len(data) // sample * sample :]
                    if len(data) >= sample:
                        yield Said(data[: len(data) // sample * sample], link)
        if not whole or odd:
            raise _malformed("The backend ended its answer in the middle of the sound.")

    @asynccontextmanager
    async def chat(self, body: JsonObject) -> AsyncIterator[Messages]:
        """The messages of an answer as it is made. Leaving frees the backend. Raises MeshError."""
        request = await self.request(Operation.CHAT, {**body, "stream": True})
        async with self._pipeline.stream(request) as messages:
            yield messages

    async def request(self, operation: Operation, body: JsonObject) -> InferenceRequest:
        """A checked request of the caller as it is by now. Raises MeshError."""
        request = check_request(
            operation, body, size=0, request_id=new_request_id(), principal=await self._caller.now()
        )
        request.zone, request.priority = self._caller.zone, self._caller.priority
        return request


class _Recording(Files):
    """One file of sound that is in memory."""

    def __init__(self, data: bytes, mime_type: str) -> None:
        self._data = data
        self._mime_type = mime_type

    async def steps(self) -> AsyncGenerator[Step, None]:
        name = "sound." + self._mime_type.partition("/")[2].partition(";")[0]
        yield inference_pb2.Part(name="file", filename=name, mime_type=self._mime_type, size=len(self._data))
        for start in range(0, len(self._data), LARGEST_CHUNK):
            yield self._data[start : start + LARGEST_CHUNK]

    @property
    def can_be_sent_again(self) -> bool:
        return True


class _Text(msgspec.Struct):
    text: str


def _check_type(mime_type: str, form: str) -> None:
    kind, *parameters = [part.strip() for part in mime_type.lower().split(";")]
    told = {name: value for name, _, value in (part.partition("=") for part in parameters)}
    rate, channels = told.get("rate", str(PCM_RATE)), told.get("channels", "1")
    if kind != AUDIO[form] or (form == "pcm" and (rate, channels) != (str(PCM_RATE), "1")):
        wanted = f"{AUDIO[form]} of {PCM_RATE} Hz and one channel" if form == "pcm" else AUDIO[form]
        raise _malformed(f"The backend was asked for {wanted}, and sends something else.")


def _malformed(message: str) -> MeshError:
    return MeshError(Reason.UPSTREAM_MALFORMED, message)
