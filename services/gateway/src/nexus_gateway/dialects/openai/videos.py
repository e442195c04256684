"""/v1/videos: work that takes long, as OpenAI's API has it. A video is asked for, looked after, and fetched.

Nothing of it is kept here: the store has it, and has it run.
"""

from __future__ import annotations

import asyncio
import binascii
import dataclasses
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Literal, Protocol
from urllib.parse import parse_qs

import msgspec
from msgspec import UNSET, Struct, UnsetType
from nexus.inference.v1 import inference_pb2
from nexus.store.v1 import store_pb2, work_pb2
from nexus_mesh.core import JsonObject, MeshError, Reason
from nexus_operations import Operation, Times

from nexus_gateway.core import Files, InferenceRequest
from nexus_gateway.dialects.errors import error_object
from nexus_gateway.dialects.openai.models import Catalog
from nexus_gateway.dialects.own_headers import check_own_headers, demanded_zone, is_strict, wanted_priority
from nexus_gateway.http import (
    DONE,
    EdgeError,
    EdgeOptions,
    Exchange,
    Failure,
    Header,
    beat,
    check_form,
    check_media_type,
    code_of,
    is_form,
)
from nexus_gateway.intake import FormLimits, Hold, Intake, Spool, boundary_of, read_form
from nexus_gateway.validation import (
    REMIXED,
    check_request,
    decode_object,
    defaults_of,
    image_type,
    invalid,
    with_defaults,
)

__all__ = ["DeletedVideo", "Video", "VideoError", "VideoList", "VideoPipeline", "VideoRoutes"]

VIDEO = Operation.VIDEO
PREFIX = "video_"
ID = re.compile(PREFIX + r"[0-9a-f]{32}")
REFERENCE = "input_reference"
FILES = {REFERENCE: Times(least=0)}
REFERENCE_BYTES = 10 << 20
REFERENCE_DAYS = 7
"""As long as work may wait at most."""
PURPOSE = "work-input"
UNDER_WAY = 512 * 1024
"""Bytes in memory of a file that is passed on, at most."""
PAGE, LONGEST_PAGE = 20, 100
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
POLL_AFTER: Header = (b"openai-poll-after-ms", b"1000")

STATUS: dict[int, Literal["queued", "in_progress", "completed", "failed"]] = {
    work_pb2.WORK_STATE_QUEUED: "queued",
    work_pb2.WORK_STATE_RUNNING: "in_progress",
    work_pb2.WORK_STATE_SUCCEEDED: "completed",
    work_pb2.WORK_STATE_FAILED: "failed",
    work_pb2.WORK_STATE_CANCELLED: "failed",
}
OURS = {"DEADLINE": Reason.TIMEOUT, "WORKER_LOST": Reason.INTERNAL}
"""What the table of tasks calls failures that are nobody's."""
VARIANTS = ("video", "thumbnail", "spritesheet")

_encode = msgspec.json.Encoder().encode


class VideoError(Struct):
    """`code` as in errors of this API."""

    code: str
    message: str


class Video(Struct):
    """A video, and how far it is: `progress` in percent. `expires_at`: from then on it is not there any more."""

    id: str
    model: str
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: int
    created_at: int
    size: str
    seconds: str
    prompt: str | None
    completed_at: int | None = None
    expires_at: int | None = None
    remixed_from_video_id: str | None = None
    error: VideoError | None = None
    object: Literal["video"] = "video"


class VideoList(Struct):
    data: list[Video]
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: Literal["list"] = "list"


class DeletedVideo(Struct):
    id: str
    deleted: Literal[True] = True
    object: Literal["video.deleted"] = "video.deleted"


class Facts(Struct):
    """What a backend knows of what it made. `id`: what it calls it itself."""

    size: str | UnsetType = UNSET
    seconds: str | UnsetType = UNSET
    variant: str | UnsetType = UNSET
    id: str | UnsetType = UNSET


class Note(Struct):
    """What is written beside the work for us."""

    remixed_from: str | None = None


class Reading(Protocol):
    @property
    def object(self) -> store_pb2.Object: ...
    @property
    def length(self) -> int: ...
    @property
    def pieces(self) -> AsyncIterator[bytes]: ...


class Works(Protocol):
    """Whoever keeps the work."""

    async def submit(self, request: work_pb2.SubmitWorkRequest) -> work_pb2.Work: ...
    async def get(self, tenant: str, work_id: str) -> work_pb2.Work: ...
    async def listed(self, request: work_pb2.ListWorkRequest) -> work_pb2.ListWorkResponse: ...
    async def delete(self, tenant: str, work_id: str) -> None: ...
    def watch(self, tenant: str, work_id: str) -> AsyncGenerator[work_pb2.Work, None]: ...
    async def keep(
        self, start: store_pb2.PutStart, pieces: AsyncIterator[bytes], seconds_kept: float
    ) -> store_pb2.Object: ...
    def read(
        self, tenant: str, object_id: str, offset: int = 0, length: int | None = None
    ) -> AbstractAsyncContextManager[Reading]: ...


class VideoPipeline(Catalog, Protocol):
    """The part of the pipeline these routes use."""

    @property
    def works(self) -> Works: ...

    async def check(self, request: InferenceRequest) -> frozenset[str]: ...

    def refused(self, operation: int, error: MeshError) -> None: ...


class VideoRoutes:
    """The handlers."""

    def __init__(self, pipeline: VideoPipeline, intake: Intake, options: EdgeOptions) -> None:
        self._pipeline = pipeline
        self._works = pipeline.works
        self._intake = intake
        self._options = options

    async def create(self, exchange: Exchange) -> None:
        """What is turned away here counts as any request; what is taken does when it is run."""
        try:
            await self._create(exchange)
        except MeshError as error:
            self._pipeline.refused(VIDEO, error)
            raise

    async def _create(self, exchange: Exchange) -> None:
        check_own_headers(exchange.fields)
        if is_form(exchange.fields.get(b"content-type", b"")):
            await self._create_by_form(exchange)
            return
        check_media_type(exchange.fields)
        body = decode_object(await exchange.body())
        request = self._request(exchange, body)
        reference = request.body.pop(REFERENCE, None)
        data = None if reference is None else _inline(reference["image_url"])
        await self._submit(exchange, request, None if data is None else _whole(data))

    async def _create_by_form(self, exchange: Exchange) -> None:
        length = exchange.fields.get(b"content-length")
        limits = FormLimits(REFERENCE_BYTES, None if length is None else int(length))
        await exchange.held.reach(min(UNDER_WAY, limits.body or UNDER_WAY))
        async with aclosing(exchange.pieces()) as pieces:
            form = await read_form(
                VIDEO,
                pieces,
                boundary_of(check_form(exchange.fields)),
                FILES,
                limits,
                lambda: Spool(Hold(self._intake.disk, exchange.held.owner), self._options.spool),
            )
            try:
                request = self._request(exchange, form.fields)
                await self._submit(exchange, request, _pieces(form.files))
            finally:
                form.files.close()

    def _request(self, exchange: Exchange, body: JsonObject) -> InferenceRequest:
        """As it will be run: by the store, for the tenant, with no right of the caller's own."""
        if REMIXED in body:
            raise invalid(
                "unknown_parameter",
                f"'{REMIXED}' is not for clients: POST to /v1/videos/ID/remix instead.",
                REMIXED,
            )
        return self._checked(exchange, body)

    def _checked(self, exchange: Exchange, body: JsonObject) -> InferenceRequest:
        request = check_request(
            VIDEO,
            body,
            size=0,
            request_id=exchange.request_id,
            principal=dataclasses.replace(exchange.caller, manage=False),
            strict=is_strict(exchange),
        )
        request.zone = demanded_zone(exchange)
        request.priority = wanted_priority(exchange)
        return request

    async def _submit(
        self,
        exchange: Exchange,
        request: InferenceRequest,
        reference: AsyncIterator[bytes] | None,
        note: Note | None = None,
    ) -> None:
        zone = next(iter(await self._pipeline.check(request)), "")
        model = self._pipeline.model(request.model, request.principal)
        first = None if reference is None else await anext(reference, None)
        if first is not None:
            request.body[REFERENCE] = {}
        with_defaults(request.body, defaults_of(model.parameters))
        request.body.pop(REFERENCE, None)
        tenant, files = exchange.caller.tenant, list[work_pb2.WorkFile]()
        if first is not None and reference is not None:
            start = store_pb2.PutStart(
                tenant=tenant, purpose=PURPOSE, mime_type=image_type(first, REFERENCE), zone=zone
            )
            kept = await self._works.keep(start, _with(first, reference), REFERENCE_DAYS * 86_400)
            files.append(work_pb2.WorkFile(name=REFERENCE, object_id=kept.id))
        work = await self._works.submit(
            work_pb2.SubmitWorkRequest(
                tenant=tenant,
                id=secrets.token_hex(16),
                operation=int(VIDEO),  # type: ignore[arg-type]
                model=request.model,
                body=_encode(request.body).decode(),
                files=files,
                zone=zone,
                note=_encode(note or Note()).decode(),
                priority=int(request.priority),  # type: ignore[arg-type]
            )
        )
        await exchange.respond(200, _encode(video_of(work)))

    async def list(self, exchange: Exchange) -> None:
        query = _query(exchange, "after", "limit", "order")
        order, limit = query.get("order", "desc"), query.get("limit", str(PAGE))
        if order not in ("asc", "desc"):
            raise invalid("invalid_value", "'order' must be asc or desc.", "order")
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:4]) <= LONGEST_PAGE:
            raise invalid("invalid_value", f"'limit' must be between 1 and {LONGEST_PAGE}.", "limit")
        request = work_pb2.ListWorkRequest(
            tenant=exchange.caller.tenant,
            operation=int(VIDEO),  # type: ignore[arg-type]
            page_size=int(limit),
            after=_work_id(query["after"]) if query.get("after") else "",
            oldest_first=order == "asc",
        )
        page = await self._works.listed(request)
        videos = [video_of(work) for work in page.works]
        first, last = (videos[0].id, videos[-1].id) if videos else (None, None)
        await exchange.respond(200, _encode(VideoList(videos, first, last, page.more)))

    async def retrieve(self, exchange: Exchange) -> None:
        stream = _query(exchange, "stream").get("stream", "false").lower()
        if stream not in ("true", "false", "1", "0"):
            raise invalid("invalid_type", "'stream' must be true or false.", "stream")
        if stream in ("true", "1"):
            await self._watch(exchange)
            return
        work = await self._work(exchange)
        headers = [] if work.HasField("finish_time") else [POLL_AFTER]
        await exchange.respond(200, _encode(video_of(work)), headers)

    async def _watch(self, exchange: Exchange) -> None:
        """Events of how it stands; the last one tells how it ended. The head waits for the first."""
        watching = self._works.watch(exchange.caller.tenant, _id_of(exchange))
        async with aclosing(watching):
            first = await anext(watching)
            await exchange.start_events([], _failed)
            heart = asyncio.create_task(
                beat(exchange, self._options.keep_alive_comment_seconds), name="sse keep-alive"
            )
            try:
                await exchange.write(_event(first))
                async for work in watching:
                    await exchange.write(_event(work))
            finally:
                heart.cancel()
            await exchange.end(DONE)

    async def delete(self, exchange: Exchange) -> None:
        """What still runs is stopped first."""
        await exchange.body()
        work_id = _id_of(exchange)
        await self._works.delete(exchange.caller.tenant, work_id)
        await exchange.respond(200, _encode(DeletedVideo(PREFIX + work_id)))

    async def content(self, exchange: Exchange) -> None:
        variant = _query(exchange, "variant").get("variant", "video")
        if variant not in VARIANTS:
            raise invalid("invalid_value", f"'variant' must be one of {', '.join(VARIANTS)}.", "variant")
        made = _output(await self._work(exchange), variant)
        begin, length = _range(exchange, made.size)
        tag = f'"{made.object_id}"'.encode()
        headers: list[Header] = [(b"accept-ranges", b"bytes"), (b"etag", tag)]
        async with self._works.read(exchange.caller.tenant, made.object_id, begin, length) as reading:
            if length is not None:
                last = begin + reading.length - 1
                headers.append((b"content-range", b"bytes %d-%d/%d" % (begin, last, made.size)))
            status = 200 if length is None else 206
            await exchange.start_file(status, made.mime_type.encode(), reading.length, headers)
            async for piece in reading.pieces:
                await exchange.write(piece)
            await exchange.end(b"")

    async def remix(self, exchange: Exchange) -> None:
        """The same again with another prompt, by the engine that made it."""
        check_own_headers(exchange.fields)
        check_media_type(exchange.fields)
        given = decode_object(await exchange.body())
        if unknown := sorted(given.keys() - {"prompt"}):
            raise invalid("unknown_parameter", "A remix takes a 'prompt' and nothing else.", unknown[0][:64])
        work = await self._work(exchange)
        made = _facts(_output(work, "video").json).id
        model = self._pipeline.model(work.model, exchange.caller)
        if made is UNSET or REMIXED not in defaults_of(model.parameters):
            raise MeshError(
                Reason.CAPABILITY_MISSING,
                f"No backend of {work.model[:128]!r} can remix its videos. Ask for a new one instead.",
            )
        body = {**msgspec.json.decode(work.body), **given, "model": work.model, REMIXED: made}
        if "prompt" not in given:
            raise invalid("missing_required_parameter", "'prompt' is required.", "prompt")
        await self._submit(exchange, self._checked(exchange, body), None, Note(PREFIX + work.id))

    async def _work(self, exchange: Exchange) -> work_pb2.Work:
        return await self._works.get(exchange.caller.tenant, _id_of(exchange))


def video_of(work: work_pb2.Work) -> Video:
    """The work as its client knows it."""
    body, note = msgspec.json.decode(work.body), msgspec.json.decode(work.note or "{}", type=Note)
    facts = Facts()
    if work.HasField("result"):
        facts = _facts(next(made.json for made in work.result.outputs if not made.HasField("preview")))
    over = work.HasField("finish_time")
    return Video(
        PREFIX + work.id,
        work.model,
        STATUS[work.state],
        work.percent,
        work.create_time.seconds,
        body["size"] if facts.size is UNSET else facts.size,
        body["seconds"] if facts.seconds is UNSET else facts.seconds,
        body["prompt"],
        completed_at=work.finish_time.seconds if work.state == work_pb2.WORK_STATE_SUCCEEDED else None,
        expires_at=work.expire_time.seconds if over else None,
        remixed_from_video_id=note.remixed_from,
        error=_error(work),
    )


def _error(work: work_pb2.Work) -> VideoError | None:
    """Of what has failed for good: an attempt that is followed by another is no failure yet."""
    if work.state == work_pb2.WORK_STATE_CANCELLED:
        return VideoError("cancelled", "It was stopped before it was done.")
    if work.state != work_pb2.WORK_STATE_FAILED:
        return None
    told, reason = work.error, OURS.get(work.error.reason)
    if reason is None:
        reason = Reason(told.reason) if told.reason in Reason.__members__ else Reason.INTERNAL
    return VideoError(code_of(MeshError(reason, told.message)), told.message)


def _output(work: work_pb2.Work, variant: str) -> work_pb2.WorkOutput:
    """Raises OBJECT_NOT_FOUND."""
    if work.state != work_pb2.WORK_STATE_SUCCEEDED:
        raise MeshError(
            Reason.OBJECT_NOT_FOUND,
            f"This video is {STATUS[work.state]}: there is something to fetch once it is completed.",
            metadata={"param": "video_id"},
        )
    for made in work.result.outputs:
        facts = _facts(made.json)
        if (not made.HasField("preview")) if variant == "video" else facts.variant == variant:
            return made
    raise MeshError(
        Reason.OBJECT_NOT_FOUND,
        f"This video has no {variant}: the engine that made it makes none.",
        metadata={"param": "variant"},
    )


def _facts(text: str) -> Facts:
    try:
        return msgspec.json.decode(text or "{}", type=Facts)
    except msgspec.MsgspecError:
        return Facts()  # what a backend says beside its video is worth no failure of it


def _range(exchange: Exchange, size: int) -> tuple[int, int | None]:
    """Where to begin and how much to read; all of it without a range, or for several. EdgeError."""
    found = RANGE.fullmatch(exchange.fields.get(b"range", b"").decode("latin-1").replace(" ", ""))
    if found is None or not any(found.groups()):
        return 0, None
    first, last = found.groups()
    begin = int(first) if first else max(0, size - int(last))
    end = size - 1 if not first or not last else min(int(last), size - 1)
    if begin > end:
        told = (b"content-range", b"bytes */%d" % size)
        raise EdgeError("range_not_satisfiable", f"The file has {size} bytes, and no such range.", [told])
    return begin, end - begin + 1


def _id_of(exchange: Exchange) -> str:
    return _work_id(exchange.scope["path_params"]["video_id"])


def _work_id(video_id: str) -> str:
    """Raises OBJECT_NOT_FOUND."""
    if not ID.fullmatch(video_id):
        raise MeshError(Reason.OBJECT_NOT_FOUND, "There is no such video.", metadata={"param": "video_id"})
    return video_id.removeprefix(PREFIX)


def _query(exchange: Exchange, *known: str) -> dict[str, str]:
    """Raises INVALID_REQUEST for what is not known, and for two of one name."""
    given = parse_qs(exchange.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    for name, values in given.items():
        if name not in known:
            message = f"This URL takes {', '.join(known)}, and no {name[:64]!a}."
            raise invalid("unknown_parameter", message, ascii(name[:64])[1:-1])
        if len(values) > 1:
            raise invalid("invalid_value", f"'{name}' takes one value.", name)
    return {name: values[0] for name, values in given.items()}


def _event(work: work_pb2.Work) -> bytes:
    video = video_of(work)
    kind = f"video.{video.status}"
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), _encode({"type": kind, "video": video}))


def _failed(error: Failure) -> bytes:
    told = _encode({"type": "error", "error": error_object(error, mid_stream=True)})
    return b"event: error\ndata: " + told + b"\n\n"


def _inline(url: str) -> bytes:
    """The bytes of a data: URL that was checked."""
    data = binascii.a2b_base64(url.partition(",")[2])
    if len(data) > REFERENCE_BYTES:
        raise MeshError(
            Reason.REQUEST_TOO_LARGE,
            f"The picture is larger than {REFERENCE_BYTES >> 20} MB.",
            metadata={"param": REFERENCE},
        )
    return data


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _with(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


async def _pieces(files: Files) -> AsyncIterator[bytes]:
    async for step in files.steps():
        if not isinstance(step, inference_pb2.Part):
            yield step
