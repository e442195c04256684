"""Servers that hear by OpenAI's API (speaches, vLLM, LocalAI), and whisper.cpp's own, which has another path and hears
nothing but WAV."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import PurePosixPath
from typing import ClassVar

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import Operation, spec_of

from nexus_inference_adapters.audio import (
    LANGUAGES,
    Sound,
    Transcript,
    code_of,
    decoded,
    delta,
    done,
    hearing_model,
    text_of,
)
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract import (
    Adapter,
    Answer,
    Completed,
    Event,
    Finish,
    Http,
    Inspection,
    JsonObject,
    Offer,
    Parts,
    Patience,
    Progress,
    Work,
    from_event,
    malformed,
)
from nexus_inference_adapters.vocabulary import operations_named

__all__ = ["OpenAITranscription"]

TASK = "automatic-speech-recognition"
DOES = ("transcription", "translation")
HEEDED = ("prompt", "temperature", "timestamp_granularities", "chunking_strategy")
SENT = ("prompt", "temperature")
WHISPER_CPP = "whisper.cpp"
MOST_BYTES = 2 << 30
PIECE = 64 * 1024
LONGEST_EVENT = 1 << 20
TIMED = frozenset({"srt", "vtt", "verbose_json"})
"""Formats that need to know when each thing was said."""
DONE = "[DONE]"


class OpenAITranscription(Adapter):
    """A recording passes on as it comes. Whatever form its transcript is wanted in is made here, of what was heard."""

    kind: ClassVar[str] = "openai_transcription"
    instead: ClassVar[str] = "OpenAI's API has no way to: use the server's own."

    def __init__(self, config: BackendConfig, http: Http) -> None:
        super().__init__(config, http)
        self._is_whisper_cpp = False

    async def inspect(self) -> Inspection:
        health = await self.http.look("GET", "/health")
        if health.status == 503:
            return Inspection(instance_pb2.STATE_STARTING, "It says it is not ready.")
        listing = await self.http.look("GET", "/v1/models")
        self._is_whisper_cpp = listing.status == 404 and health.dig("status") == "ok"
        if listing.status != 200 and not self._is_whisper_cpp:
            raise MeshError(Reason.BACKEND_DOWN, "It neither lists models nor is whisper.cpp's server.")
        told = [row for row in listing.rows("data") if isinstance(row.get("id"), str)]
        names = self.config.models or [row["id"] for row in told if row.get("task", TASK) == TASK]
        if self._is_whisper_cpp:
            names = self.config.models[:1] or (WHISPER_CPP,)
        if not names:
            return Inspection(
                instance_pb2.STATE_UNHEALTHY, "It lists no model that hears: name its `models`."
            )
        return Inspection(instance_pb2.STATE_ACTIVE, offers=[self._offer(name) for name in names])

    async def complete(self, work: Work, patience: Patience) -> Completed:  # noqa: ARG002 - as every kind
        raise MeshError(Reason.INVALID_REQUEST, "A recording comes with the request: send it by Upload.")

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        if work.parts is None:
            await self.complete(work, patience)
            return
        language = code_of(work.body.get("language"))
        # A whole answer is silent for as long as it takes, and sending it for as long as its sender takes.
        with Patience(patience.limits, silence=patience.limits.total) as leisure:
            yield Progress("hearing")
            async with (
                self._asked(work, work.parts, language, leisure) as (answer, seconds),
                aclosing(_events(work, answer, seconds, leisure)) as events,
            ):
                async for event in events:
                    yield event

    @asynccontextmanager
    async def _asked(
        self, work: Work, parts: Parts, language: str | None, patience: Patience
    ) -> AsyncIterator[tuple[Answer, float]]:
        """The answer, and the recording's seconds where they are known."""
        fields = _fields(work, language)
        boundary = f"nexus-{secrets.token_hex(16)}"
        kind = f"multipart/form-data; boundary={boundary}"
        if not self._is_whisper_cpp:
            path, body = "/v1" + spec_of(work.operation).path, _form(fields, _passed_on(parts), boundary)
            answer = await self.http.upload(path, body, kind, patience)
            try:
                yield answer, 0.0
            finally:
                answer.close()
            return
        if work.operation == Operation.TRANSLATION:
            fields.append(("translate", "true"))
        async with parts.kept(MOST_BYTES) as files, decoded(files["file"][0], patience) as sound:
            answer = await self.http.upload(
                "/inference", _form(fields, _wave(sound), boundary), kind, patience
            )
            try:
                yield answer, sound.seconds
            finally:
                answer.close()

    def _offer(self, name: str) -> Offer:
        does = self.config.operations or (DOES[:1] if name.endswith(".en") else DOES)
        model = model_pb2.Model(id=name, operations=operations_named(does), owner=self.kind)
        # The languages are looked at by `code_of`, which knows their names too.
        return Offer(hearing_model(model, more=HEEDED), name)


def _fields(work: Work, language: str | None) -> list[tuple[str, str]]:
    """What is asked. Times are asked for where they are needed: whatever is wanted is made of them here."""
    wanted = work.body.get("response_format") or "json"
    asked: list[tuple[str, str]] = [("model", work.model)]
    asked.append(("response_format", "verbose_json" if wanted in TIMED else "json"))
    asked += [(name, str(value)) for name in SENT if (value := work.body.get(name)) is not None]
    if language is not None:
        asked.append(("language", language))
    asked += [("timestamp_granularities[]", one) for one in work.body.get("timestamp_granularities") or ()]
    if work.stream:
        asked.append(("stream", "true"))
    return asked


async def _form(
    fields: list[tuple[str, str]], file: AsyncIterator[tuple[str, bytes]], boundary: str
) -> AsyncGenerator[bytes, None]:
    """A form with its file last. `file`: its name each time, and its next bytes."""
    for name, value in fields:
        yield f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    head = '--{}\r\nContent-Disposition: form-data; name="file"; filename="{}"\r\nContent-Type: {}\r\n\r\n'
    begun = False
    async for filename, data in file:
        if not begun:
            yield head.format(boundary, filename, "application/octet-stream").encode()
            begun = True
        yield data
    yield f"\r\n--{boundary}--\r\n".encode()


async def _passed_on(parts: Parts) -> AsyncIterator[tuple[str, bytes]]:
    """As it comes; servers tell formats by the ending of the name. Raises INVALID_REQUEST when it was cut off."""
    name = "recording"
    async for step in parts.steps():
        if isinstance(step, bytes):
            yield name, step
        else:
            ending = PurePosixPath(step.filename).suffix
            name = f"recording{ending}" if ending[1:].isalnum() and ending.isascii() else "recording"
            yield name, b""


async def _wave(sound: Sound) -> AsyncIterator[tuple[str, bytes]]:
    """Plain sound as a file: 16 kHz, mono, 16 bits."""
    size = sound.file.seek(0, 2)
    sound.file.seek(0)
    yield "recording.wav", sound.head(size)
    while data := sound.file.read(PIECE):
        yield "recording.wav", data


async def _events(
    work: Work, answer: Answer, seconds: float, patience: Patience
) -> AsyncGenerator[Event, None]:
    transcript = Transcript("translate" if work.operation == Operation.TRANSLATION else "transcribe")
    transcript.duration = seconds
    if answer.headers.get("Content-Type", "").lower().startswith("text/event-stream"):
        ended = False
        async with aclosing(_rows(answer)) as rows:
            async for row in rows:
                patience.content_came()
                piece, ended = _said(row, transcript)
                if piece:
                    transcript.segments.append({"text": piece})
                    yield [delta(piece)]
                if ended:
                    break
        if not ended:
            raise MeshError(Reason.BACKEND_LOST, "The backend's transcript ended without its end mark.")
    else:
        _take(work, await answer.read(), transcript)
        if work.stream and transcript.text:
            yield [delta(transcript.text)]
    if work.stream:
        yield [done(transcript)]
    else:
        wanted = work.body.get("response_format") or "json"
        yield text_of(transcript, wanted, work.body.get("timestamp_granularities") or ())
    yield Finish(inference_pb2.Usage(input_seconds=transcript.duration))


async def _rows(answer: Answer) -> AsyncGenerator[JsonObject | str, None]:
    """The objects of an event stream, or its end mark. Raises what it says went wrong."""
    waiting = b""
    while data := await answer.part():
        *lines, waiting = (waiting + data).split(b"\n")
        if len(waiting) > LONGEST_EVENT:
            raise malformed("The backend's event is longer than any.")
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            text = line[5:].strip()
            if text == DONE.encode():
                yield DONE
                continue
            row = _object(text)
            if row.get("error") is not None:
                raise from_event(row)
            yield row


def _said(row: JsonObject | str, transcript: Transcript) -> tuple[str, bool]:
    """What a row adds, and whether it is the last: OpenAI's events, or vLLM's chunks."""
    if isinstance(row, str):
        return "", True
    if row.get("type") == "transcript.text.done":
        _count(row, transcript)
        text = row.get("text")
        rest = text if isinstance(text, str) and not transcript.segments else ""
        return rest, True
    if row.get("type") == "transcript.text.delta":
        return _text(row, "delta"), False
    choices = row.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    more = choice.get("delta")
    return (_text(more, "content") if isinstance(more, dict) else ""), False


def _take(work: Work, raw: bytes, transcript: Transcript) -> None:
    """Puts a whole answer into a transcript. whisper.cpp tells of its errors with status 200."""
    told = _object(raw)
    if told.get("error") is not None:
        raise from_event(told)
    if not isinstance(told.get("text"), str):
        raise malformed("The backend's answer has no text in it.")
    _count(told, transcript)
    language = told.get("language") or told.get("detected_language")
    transcript.language = LANGUAGES.get(str(language), str(language or ""))
    if (work.body.get("response_format") or "json") not in TIMED:
        transcript.segments.append({"text": told["text"]})
        return
    transcript.segments.extend(_segments(work, told))
    if not transcript.segments and told["text"].strip():
        raise malformed("The backend did not say when anything was said.")
    wants_words = "word" in (work.body.get("timestamp_granularities") or ())
    if wants_words and told["text"].strip() and not any(each["words"] for each in transcript.segments):
        raise MeshError(
            Reason.CAPABILITY_MISSING,
            "The model does not say when each word was said on its backend: ask for segments.",
            metadata={"param": "timestamp_granularities"},
        )


def _count(told: JsonObject, transcript: Transcript) -> None:
    """How long the recording is, wherever it is said: as a number, or as a number's text."""
    usage = told.get("usage")
    for found in (told.get("duration"), usage.get("seconds") if isinstance(usage, dict) else None):
        if isinstance(found, int | float | str) and not transcript.duration:
            try:
                transcript.duration = max(0.0, float(found))
            except ValueError:
                continue


def _segments(work: Work, told: JsonObject) -> Iterator[JsonObject]:
    """As OpenAI has them: whisper.cpp leaves out what can be worked out."""
    rows: object = told.get("segments")
    words = _times(told.get("words"))
    for number, row in enumerate(rows if isinstance(rows, list) else ()):
        tokens: object = row.get("tokens") if isinstance(row, dict) else None
        text, start, end = _text(row, "text"), _number(row, "start"), _number(row, "end")
        yield {
            "id": number,
            "seek": row["seek"] if type(row.get("seek")) is int else round(start * 100),
            "start": start,
            "end": end,
            "text": text,
            "tokens": [one for one in tokens if type(one) is int] if isinstance(tokens, list) else [],
            "temperature": _number(row, "temperature", float(work.body.get("temperature") or 0)),
            "avg_logprob": _number(row, "avg_logprob"),
            "compression_ratio": _number(row, "compression_ratio", _ratio(text)),
            "no_speech_prob": _number(row, "no_speech_prob"),
            "words": (words if not number else []) or _times(row.get("words")),
        }


def _times(words: object) -> list[JsonObject]:
    rows: list[object] = words if isinstance(words, list) else []
    return [
        {"word": _text(row, "word"), "start": _number(row, "start"), "end": _number(row, "end")}
        for row in rows
    ]


def _ratio(text: str) -> float:
    """Whisper's own measure of a text that says the same again and again."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def _object(raw: bytes) -> JsonObject:
    try:
        return msgspec.json.decode(raw, type=JsonObject)
    except (ValueError, RecursionError):
        raise malformed("The backend's answer is not the JSON object it should be.") from None


def _text(row: object, key: str) -> str:
    value = row.get(key) if isinstance(row, dict) else None
    if not isinstance(value, str):
        raise malformed(f"The backend's answer has no text under {key!r}.")
    return value


def _number(row: object, key: str, otherwise: float | None = None) -> float:
    value = row.get(key, otherwise) if isinstance(row, dict) else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise malformed(f"The backend's answer has no number under {key!r}.")
    return float(value)
