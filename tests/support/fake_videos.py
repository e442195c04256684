"""A fake server of OpenAI's videos API, as vLLM-Omni serves it: multipart only, jobs in memory, FastAPI's errors.

async with FakeVideos() as fake:
    fake.mode = "fail"    # or ok, hold, refuse, cut, no_length, text, forget, odd: of jobs that are made from now on
    fake.jobs[-1].fields
    fake.let_go()         # what is held goes on
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from typing import Any

from aiohttp import web
from support.fake_server import FakeServer

__all__ = ["FILM", "FakeVideos", "Job"]

FILM = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 1200
STEPS = 2
"""How often a job is looked at before it is done."""


@dataclass
class Job:
    id: str
    mode: str
    fields: dict[str, str]
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    looked: int = 0
    remixed_from: str | None = None

    @property
    def is_done(self) -> bool:
        return self.looked > STEPS

    def told(self) -> dict[str, Any]:
        failed = self.mode == "fail" and self.is_done
        status = (
            "failed"
            if failed
            else "completed"
            if self.is_done
            else "in_progress"
            if self.looked
            else "queued"
        )
        error = {"code": "InternalServerError", "message": "CUDA out of memory"} if failed else None
        return {
            "id": self.id, "object": "video", "model": self.fields.get("model", "wan"), "status": status,
            "progress": 100 if status == "completed" else min(90, 45 * self.looked), "created_at": 1_764_000_000,
            "completed_at": 1_764_000_009 if status == "completed" else None, "expires_at": None,
            "prompt": self.fields["prompt"], "size": self.fields.get("size"),
            "seconds": self.fields.get("seconds", "4"), "quality": "default",
            "remixed_from_video_id": self.remixed_from, "error": error, "media_type": "video/mp4",
        }  # fmt: skip


class FakeVideos(FakeServer):
    """`jobs` are all that were ever made; `known` those that were not deleted, or forgotten by a restart."""

    def __init__(self, model: str = "wan", *, remixes: bool = False) -> None:
        super().__init__()
        self.model = model
        self.mode = "ok"
        self.jobs: list[Job] = []
        self.known: dict[str, Job] = {}
        self._remixes = remixes
        self._go = asyncio.Event()
        self._numbers = itertools.count(1)

    def let_go(self) -> None:
        self._go.set()

    def hold(self) -> None:
        """As at the beginning."""
        self._go.clear()

    async def stop(self) -> None:
        """What is in memory is gone."""
        self.known.clear()
        await super().stop()

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.get("/v1/models", self._models),
            web.get("/openapi.json", self._described),
            web.post("/v1/videos", self._create),
            web.get("/v1/videos/{id}", self._retrieve),
            web.delete("/v1/videos/{id}", self._delete),
            web.get("/v1/videos/{id}/content", self._content),
            *([web.post("/v1/videos/{id}/remix", self._remix)] if self._remixes else []),
        ]

    async def _models(self, _: web.Request) -> web.Response:
        row = {"id": self.model, "object": "model", "created": 1, "owned_by": "vllm"}
        return web.json_response({"object": "list", "data": [row]})

    async def _described(self, _: web.Request) -> web.Response:
        paths = ["/v1/videos", "/v1/videos/{video_id}", *(["/v1/videos/{video_id}/remix"] * self._remixes)]
        return web.json_response({"openapi": "3.1.0", "paths": {path: {} for path in paths}})

    async def _create(self, request: web.Request) -> web.Response:
        fields, files = _parts(request.headers.get("Content-Type", ""), await request.read())
        if "prompt" not in fields:
            missing = {"type": "missing", "loc": ["body", "prompt"], "msg": "Field required"}
            return web.json_response({"detail": [missing]}, status=422)
        if self.mode == "refuse":
            return web.json_response({"detail": "size 5x5 is not supported"}, status=400)
        return self._made(fields, files)

    async def _remix(self, request: web.Request) -> web.Response:
        source = self.known.get(request.match_info["id"])
        if source is None:
            return _not_found()
        body = await request.json()
        return self._made({**source.fields, **body}, {}, source.id)

    def _made(
        self, fields: dict[str, str], files: dict[str, tuple[str, bytes]], source: str | None = None
    ) -> web.Response:
        job = Job(f"video_gen_{next(self._numbers)}", self.mode, fields, files, remixed_from=source)
        self.jobs.append(job)
        self.known[job.id] = job
        return web.json_response(job.told())

    async def _retrieve(self, request: web.Request) -> web.Response:
        job = self.known.get(request.match_info["id"])
        if job is None:
            return _not_found()
        if job.mode == "forget":
            del self.known[job.id]
        if job.mode != "hold" or self._go.is_set() or job.looked < 1:
            job.looked += 1
        told = job.told()
        return web.json_response({**told, "status": "dreaming"} if job.mode == "odd" else told)

    async def _delete(self, request: web.Request) -> web.Response:
        if self.known.pop(request.match_info["id"], None) is None:
            return _not_found()
        return web.json_response({"id": request.match_info["id"], "object": "video.deleted", "deleted": True})

    async def _content(self, request: web.Request) -> web.StreamResponse:
        job = self.known.get(request.match_info["id"])
        if job is None:
            return _not_found()
        if not job.is_done:
            return web.json_response({"detail": "Video is not ready"}, status=409)
        if job.mode == "text":
            return web.json_response({"detail": "gone"})
        if job.mode == "no_length":
            return await self._raw(request, b"HTTP/1.0 200 OK\r\nContent-Type: video/mp4\r\n\r\n" + FILM)
        if job.mode == "cut":
            head = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n" % len(FILM)
            return await self._raw(request, head + FILM[:-1000])
        return web.Response(body=FILM, content_type="video/mp4")

    async def _raw(self, request: web.Request, data: bytes) -> web.StreamResponse:
        """Written past the server, which would not let it go out; then the connection ends."""
        transport = request.transport
        assert transport is not None
        transport.write(data)
        await asyncio.sleep(0.1)
        transport.close()
        raise asyncio.CancelledError


def _not_found() -> web.Response:
    return web.json_response({"detail": "Video not found"}, status=404)


def _parts(content_type: str, raw: bytes) -> tuple[dict[str, str], dict[str, tuple[str, bytes]]]:
    """Fields, and files with their types, of a form; none of anything else."""
    fields: dict[str, str] = {}
    files: dict[str, tuple[str, bytes]] = {}
    if not content_type.startswith("multipart/form-data"):
        return fields, files
    whole: Message = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + raw)
    for part in whole.get_payload():
        assert isinstance(part, Message)
        name = str(part.get_param("name", header="content-disposition"))
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        if part.get_filename() is None:
            fields[name] = data.decode()
        else:
            files[name] = part.get_content_type(), data
    return fields, files
