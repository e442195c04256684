"""POST audio/transcriptions, audio/translations, images/edits, images/variations: a form with files, answered whole, or
by events as it is made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import JsonObject, MeshError, Reason
from nexus_operations import Form, Operation, spec_of

from nexus_gateway.core import InferenceRequest
from nexus_gateway.dialects.openai.inference import Inference, send_events
from nexus_gateway.dialects.openai.pictures import send_pictures
from nexus_gateway.dialects.own_headers import (
    check_own_headers,
    demanded_zone,
    is_strict,
    served_headers,
    wanted_priority,
)
from nexus_gateway.http import JSON, EdgeOptions, Exchange, Handler, check_form, check_media_type, is_form
from nexus_gateway.intake import FormLimits, Hold, Intake, Spool, boundary_of, read_form
from nexus_gateway.validation import InBody, check_request, take_references

__all__ = ["ALSO_JSON", "Segment", "Transcription", "VerboseTranscription", "Word", "upload_handler"]

UNDER_WAY = 512 * 1024
"""Bytes in memory of a file that is passed on, at most."""
ALSO_JSON = frozenset({int(Operation.IMAGE_EDIT)})
"""Kinds of work whose files may stand in a JSON body, as data: URLs."""
PLAIN = b"text/plain; charset=utf-8"


class Transcription(Struct):
    """What was said."""

    text: str
    usage: Raw | UnsetType = UNSET


class Word(Struct):
    """Seconds from the recording's beginning."""

    word: str
    start: float
    end: float


class Segment(Struct):
    """What was said from one pause to the next."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class VerboseTranscription(Struct):
    """What was said, in which language, and when. `duration` in seconds."""

    language: str
    duration: float
    text: str
    segments: list[Segment] | UnsetType = UNSET
    words: list[Word] | UnsetType = UNSET
    task: str | UnsetType = UNSET
    usage: Raw | UnsetType = UNSET


def upload_handler(pipeline: Inference, operation: int, intake: Intake, options: EdgeOptions) -> Handler:
    """The handler of one operation's route."""
    spec, pause = spec_of(operation), options.keep_alive_comment_seconds

    def spooled(exchange: Exchange) -> Spool:
        return Spool(Hold(intake.disk, exchange.held.owner), options.spool)

    async def handle(exchange: Exchange) -> None:
        if operation in ALSO_JSON and not is_form(exchange.fields.get(b"content-type", b"")):
            await handle_json(exchange)
            return
        boundary = boundary_of(check_form(exchange.fields))
        check_own_headers(exchange.fields)
        length = exchange.fields.get(b"content-length")
        limits = FormLimits(options.limits.upload_bytes, None if length is None else int(length))
        await exchange.held.reach(min(UNDER_WAY, limits.body or UNDER_WAY))
        async with aclosing(exchange.pieces()) as pieces:
            form = await read_form(
                operation,
                pieces,
                boundary,
                spec.files,
                limits,
                lambda: spooled(exchange),
            )
            try:
                request = checked(exchange, form.fields)
                request.files = form.files
                exchange.handed_on = True
                await answer(exchange, request)
            finally:
                form.files.close()

    async def handle_json(exchange: Exchange) -> None:
        check_media_type(exchange.fields)
        check_own_headers(exchange.fields)
        given: list[InBody] = []

        def check(parsed: JsonObject, _: int) -> InferenceRequest:
            given.extend(take_references(parsed, spec.files))
            return checked(exchange, parsed)

        request = await intake.read(await exchange.body(), check)
        request.files = files = spooled(exchange)
        try:
            while given:
                one = given.pop(0)
                files.begin(inference_pb2.Part(name=one.name, mime_type=one.media_type))
                for piece in one.pieces():
                    await files.write(piece)
            exchange.handed_on = True
            await answer(exchange, request)
        finally:
            files.close()

    def checked(exchange: Exchange, fields: JsonObject) -> InferenceRequest:
        request = check_request(
            operation,
            fields,
            size=0,
            request_id=exchange.request_id,
            principal=exchange.caller,
            strict=is_strict(exchange),
        )
        request.zone = demanded_zone(exchange)
        request.priority = wanted_priority(exchange)
        return request

    async def answer(exchange: Exchange, request: InferenceRequest) -> None:
        async with pipeline.stream(request) as messages:
            if spec.form is Form.FILE:
                await send_pictures(exchange, request, messages, pause)
                return
            if request.stream:
                await send_events(exchange, request, messages, pause)
                return
            whole, served = await _whole(messages)
            body, media = _checked_answer(request, whole)
            await exchange.respond(200, body, served_headers(served), media)

    return handle


async def _whole(
    messages: AsyncIterator[inference_pb2.StreamResponse],
) -> tuple[inference_pb2.Answer, inference_pb2.Served]:
    answer, served, finished = None, inference_pb2.Served(), False
    async for message in messages:
        if message.HasField("served"):
            served = message.served
        if message.HasField("answer"):
            answer = message.answer
        finished = message.HasField("finish")
    if answer is None or not finished:
        raise _malformed("The backend's answer ended before it was whole.")
    return answer, served


def _checked_answer(request: InferenceRequest, answer: inference_pb2.Answer) -> tuple[bytes, bytes]:
    """The body and its media type. Raises UPSTREAM_MALFORMED when it is not what was asked for."""
    wanted, body = request.body.get("response_format", "json"), answer.body.encode()
    is_json = (answer.mime_type or "application/json") == "application/json"
    if is_json != (wanted in ("json", "verbose_json")):
        raise _malformed(f"The backend was asked for {wanted}, and sent something else.")
    if not is_json:
        return body, PLAIN
    try:
        found = msgspec.json.decode(
            body, type=VerboseTranscription if wanted == "verbose_json" else Transcription
        )
    except (ValueError, RecursionError):
        raise _malformed("The backend's answer is incomplete or breaks the OpenAI format.") from None
    grains = request.body.get("timestamp_granularities") or ()
    if isinstance(found, VerboseTranscription) and "word" in grains and found.words is UNSET:
        raise _malformed("The backend was asked for the times of words, and told none.")
    return body, JSON


def _malformed(message: str) -> MeshError:
    return MeshError(Reason.UPSTREAM_MALFORMED, message)
