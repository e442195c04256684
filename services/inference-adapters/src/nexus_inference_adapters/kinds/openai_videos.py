"""Servers of OpenAI's videos API: vLLM-Omni, SGLang-Diffusion, LocalAI. A job is made, looked after, fetched, and
deleted, which stops it where it still runs.
"""

from __future__ import annotations

import base64
import re
import secrets
from asyncio import sleep
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar
from urllib.parse import quote

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract import (
    MEDIA_BYTES,
    Adapter,
    Completed,
    Event,
    Finish,
    Http,
    Inspection,
    JsonObject,
    Media,
    Offer,
    Patience,
    Progress,
    Seen,
    Work,
    from_event,
    malformed,
)
from nexus_inference_adapters.vocabulary import VIDEO

__all__ = ["OpenAIVideos"]

POLL_SECONDS = 1.0
MISSED = 3
"""Questions in a row that may stay unanswered: an hour's work is not given up for a moment's silence."""
DONE, FAILED = "completed", "failed"
STATUSES: Mapping[str, str] = {
    **dict.fromkeys(("queued", "pending", "in_progress", "processing", "running"), "painting"),
    **dict.fromkeys((DONE, "succeeded"), DONE),
    **dict.fromkeys((FAILED, "error", "cancelled", "expired"), FAILED),
}
"""What each status that servers tell means."""
FIELDS: Mapping[str, str] = {
    "prompt": "prompt", "seconds": "seconds", "size": "size", "negative_prompt": "negative_prompt", "fps": "fps",
    "seed": "seed", "guidance_scale": "guidance_scale", "steps": "num_inference_steps",
}  # fmt: skip
"""Our parameters, and what servers call them."""
REFERENCE, REMIXED = "input_reference", "remix_video_id"
REMIX = re.compile(r"/v1/videos/{\w+}/remix")


class OpenAIVideos(Adapter):
    """Which models there are is the server's word; which sizes and lengths, it tells nobody before it is asked."""

    kind: ClassVar[str] = "openai_videos"
    instead: ClassVar[str] = "Start and stop the server with the model you want."

    def __init__(self, config: BackendConfig, http: Http) -> None:
        super().__init__(config, http)
        self._remixes: bool | None = None
        """None: it was not asked yet."""

    async def inspect(self) -> Inspection:
        listing = await self.http.look("GET", "/v1/models")
        if listing.status != 200:
            raise MeshError(
                Reason.BACKEND_DOWN, f"It answers /v1/models with status {listing.status}; is it ready?"
            )
        if self._remixes is None:
            described = await self.http.look("GET", "/openapi.json")
            paths = described.dig("paths")
            self._remixes = isinstance(paths, dict) and any(map(REMIX.fullmatch, paths))
        names = [row["id"] for row in listing.rows("data") if isinstance(row.get("id"), str)]
        wanted = [name for name in names if not self.config.models or name in self.config.models]
        offers = [_offer(name, remixes=self._remixes) for name in wanted]
        if not offers:
            return Inspection(instance_pb2.STATE_UNHEALTHY, "It lists no model that may be served.")
        capacity = self.config.max_concurrency or 0
        return Inspection(instance_pb2.STATE_ACTIVE, offers=offers, capacity=capacity)

    async def complete(self, work: Work, patience: Patience) -> Completed:  # noqa: ARG002 - the same for all
        raise MeshError(Reason.INVALID_REQUEST, "Videos come as a stream only.")

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        job = await self._create(work, patience)
        path = f"/v1/videos/{quote(_text(job, 'id'), safe='')}"
        fetched = False
        try:
            while (meaning := _meaning(job)) != DONE:
                if meaning == FAILED:
                    raise _failure(job)
                yield Progress(meaning, _percent(job), 100, "percent")
                await patience.wait(sleep(POLL_SECONDS))
                job = await self._look(path, patience)
            async for media in self._content(path, _facts(work, job, remixes=bool(self._remixes)), patience):
                yield media
            fetched = True
        finally:
            if not fetched or not self._remixes:
                await self._forget(path)
        yield Finish(inference_pb2.Usage(output_seconds=float(_seconds(work, job) or 0)))

    async def _create(self, work: Work, patience: Patience) -> JsonObject:
        body = work.body
        if (made := body.get(REMIXED)) is not None:
            path = f"/v1/videos/{quote(str(made), safe='')}/remix"
            answer = await self.http.send(path, {"prompt": body["prompt"]}, patience, keep=False)
        else:
            boundary = secrets.token_hex(16)
            kind = f"multipart/form-data; boundary={boundary}"
            answer = await self.http.upload("/v1/videos", _form(work, boundary), kind, patience)
        try:
            return _object(await answer.read())
        finally:
            answer.close()

    async def _look(self, path: str, patience: Patience) -> JsonObject:
        for missed in range(MISSED):
            try:
                return _told(await patience.wait(self.http.look("GET", path)))
            except MeshError as error:
                if missed + 1 == MISSED or error.reason not in SILENT:
                    raise
                await patience.wait(sleep(POLL_SECONDS))
        raise AssertionError("unreachable")

    async def _content(self, path: str, facts: JsonObject, patience: Patience) -> AsyncGenerator[Media, None]:
        async with self.http.get(f"{path}/content", patience) as answer:
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind == "application/octet-stream":
                kind = "video/mp4"
            if not kind.startswith("video/"):
                raise malformed("The backend says that its video is there, and sends something else.")
            if not answer.tells_its_end:
                raise malformed(
                    "The backend does not tell the length of its video: half of it would look whole."
                )
            length = answer.headers.get("Content-Length", "")
            size = int(length) if length.isdigit() else None
            while part := await answer.part():
                patience.content_came()
                for at in range(0, len(part), MEDIA_BYTES):
                    yield Media(part[at : at + MEDIA_BYTES], mime_type=kind, size=size)
            yield Media(b"", mime_type=kind, last=True, json=msgspec.json.encode(facts).decode())

    async def _forget(self, path: str) -> None:
        """So that it works for nobody no longer, and keeps nothing of what tenants have asked."""
        with suppress(MeshError):
            await self.http.look("DELETE", path)


SILENT = frozenset({Reason.BACKEND_DOWN, Reason.BACKEND_LOST, Reason.STREAM_IDLE_TIMEOUT})


def _told(seen: Seen) -> JsonObject:
    """The job. Raises BACKEND_LOST when nobody there knows it any more: the server was started anew."""
    if seen.status == 404:
        raise _lost()
    if seen.status != 200 or not isinstance(seen.body, dict):
        raise MeshError(
            Reason.UPSTREAM_ERROR, f"The backend tells of its video with status {seen.status}, or no object."
        )
    return seen.body


def _lost() -> MeshError:
    return MeshError(
        Reason.BACKEND_LOST, "The backend has forgotten the video it was making. Ask for it again."
    )


def _object(raw: bytes) -> JsonObject:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        raise malformed("The backend's answer is no video object.") from None


def _text(job: JsonObject, name: str) -> str:
    value = job.get(name)
    if not isinstance(value, str) or not value:
        raise malformed(f"The backend's video has no {name}.")
    return value


def _meaning(job: JsonObject) -> str:
    status = _text(job, "status")
    if (meaning := STATUSES.get(status)) is None:
        raise malformed(f"The backend's video has a status that is not known: {status[:32]!r}.")
    return meaning


def _percent(job: JsonObject) -> int:
    told = job.get("progress")
    return min(max(int(told), 0), 99) if isinstance(told, int | float) else 0


def _failure(job: JsonObject) -> MeshError:
    """By its own words."""
    error = from_event({"error": job.get("error")})
    details = job.get("error")
    said = details.get("message") if isinstance(details, dict) else details
    if error.reason is Reason.UPSTREAM_ERROR and isinstance(said, str) and said:
        words = "".join(each for each in " ".join(said.split()) if each.isprintable())
        error = MeshError(Reason.UPSTREAM_ERROR, f"The backend could not make the video: {words[:300]}")
    return error


def _seconds(work: Work, job: JsonObject) -> str:
    told = job.get("seconds") or work.body.get("seconds") or ""
    return str(told) if re.fullmatch(r"\d+(\.\d+)?", str(told)) else ""


def _facts(work: Work, job: JsonObject, *, remixes: bool) -> JsonObject:
    """What is known of the video. By its id there it can be made anew."""
    size = job.get("size") or work.body.get("size")
    told = {"size": size, "seconds": _seconds(work, job), "id": job["id"] if remixes else None}
    return {name: value for name, value in told.items() if isinstance(value, str) and value}


async def _form(work: Work, boundary: str) -> AsyncIterator[bytes]:
    fields = {"model": work.model}
    fields |= {theirs: str(work.body[ours]) for ours, theirs in FIELDS.items() if ours in work.body}
    for name, value in fields.items():
        yield f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    reference = work.body.get(REFERENCE)
    if reference is not None:
        head, _, data = str(reference["image_url"]).partition(",")
        kind = head.removeprefix("data:").partition(";")[0]
        yield (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{REFERENCE}"; filename="reference"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        ).encode()
        yield base64.b64decode(data)
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _offer(name: str, *, remixes: bool) -> Offer:
    properties: JsonObject = {
        "prompt": {"type": "string", "minLength": 1},
        "seconds": {"type": "string"},
        "size": {"type": "string"},
        "negative_prompt": {"type": "string"},
        "fps": {"type": "integer", "minimum": 1},
        "seed": {"type": "integer", "minimum": 0},
        "guidance_scale": {"type": "number", "minimum": 0},
        "steps": {"type": "integer", "minimum": 1},
        REFERENCE: {"type": "object"},
        **({REMIXED: {"type": "string"}} if remixes else {}),
    }
    schema = {
        "type": "object",
        "required": ["prompt"],
        "properties": properties,
        "additionalProperties": False,
    }
    told = model_pb2.OperationParameters(operation=VIDEO, schema=msgspec.json.encode(schema).decode())
    return Offer(model_pb2.Model(id=name, operations=[VIDEO], parameters=[told]), name)
