"""A fake stable-diffusion-webui: one job at a time, whose progress and interrupt are everybody's."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from aiohttp import web
from support.fake_server import FakeServer
from support.painted import picture_file

Json = dict[str, Any]
TITLE = "tiny.safetensors [abcdef0123]"
MODELS = [
    {
        "title": TITLE,
        "model_name": "tiny",
        "hash": "abcdef0123",
        "sha256": None,
        "filename": "/models/tiny.safetensors",
    }
]
SAMPLERS = [{"name": name, "aliases": [], "options": {}} for name in ("Euler", "Euler a", "DPM++ 2M")]
SCHEDULERS = [{"name": name, "label": name.title(), "aliases": None} for name in ("automatic", "karras")]
LORAS = [{"name": "style", "alias": "style", "path": "/models/Lora/style.safetensors", "metadata": {}}]


class FakeA1111(FakeServer):
    """Attributes may be changed at any time.

    step_seconds: a step; cut: bytes of pictures that are sent; old: a build that knows no task ids of
    others; watched: each step waits to be asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.step_seconds = 0.0
        self.cut: int | None = None
        self.old = False
        self.watched = False
        self._seen = 0
        self.loaded = TITLE
        self.allocated = 2**30
        self.pending: list[str] = []
        self.current: str | None = None
        self.finished: list[str] = []
        self.state: Json = {}
        self._lock = asyncio.Lock()
        self._running: set[asyncio.Task[str]] = set()
        self._begin("")

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.get("/sdapi/v1/options", self._options),
            web.get("/sdapi/v1/memory", self._memory),
            web.get("/sdapi/v1/progress", self._progress),
            web.get("/sdapi/v1/{name}", self._list),
            web.post("/sdapi/v1/txt2img", self._paint),
            web.post("/sdapi/v1/interrupt", self._interrupt),
            web.post("/sdapi/v1/unload-checkpoint", self._unload),
            web.post("/internal/progress", self._of_task),
        ]

    def _begin(self, job: str) -> None:
        self.state = {
            "skipped": False, "interrupted": False, "job": job, "job_count": 1 if job else 0, "job_no": 0,
            "sampling_step": 0, "sampling_steps": 0,
        }  # fmt: skip

    async def _options(self, _: web.Request) -> web.Response:
        return web.json_response({"sd_model_checkpoint": self.loaded, "samples_format": "png"})

    async def _memory(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"ram": {}, "cuda": {"allocated": {"current": self.allocated, "peak": 2**31}}}
        )

    async def _list(self, request: web.Request) -> web.Response:
        lists = {"sd-models": MODELS, "samplers": SAMPLERS, "schedulers": SCHEDULERS, "loras": LORAS}
        found = lists.get(request.match_info["name"])
        if found is None:
            return web.json_response({"detail": "Not Found"}, status=404)
        return web.json_response(found)

    async def _paint(self, request: web.Request) -> web.Response:
        """Goes on when its client is gone: nothing tells it."""
        body = await request.json()
        if body.get("sampler_name") not in {None, *(one["name"] for one in SAMPLERS)}:
            return web.json_response({"detail": "Sampler not found"}, status=404)
        task = "task(own)" if self.old else body.get("force_task_id") or "task(own)"
        self.pending.append(task)
        work = asyncio.create_task(self._work(task, body))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        image = await asyncio.shield(work)
        return web.json_response({"images": [image], "parameters": body, "info": "{}"})

    async def _work(self, task: str, body: Json) -> str:
        async with self._lock:
            self.pending.remove(task)
            self.current = task
            self._begin("scripts_txt2img")
            steps = self.state["sampling_steps"] = body.get("steps", 50)
            self.loaded = body.get("override_settings", {}).get("sd_model_checkpoint", self.loaded)
            for step in range(1, steps + 1):
                await asyncio.sleep(self.step_seconds)
                if self.state["interrupted"]:
                    break  # and what there is of it is the answer
                self.state["sampling_step"] = step
                while self.watched and self._seen != step:  # noqa: ASYNC110 - until somebody asks
                    await asyncio.sleep(0.005)
            self.state |= {"job": "", "job_count": 0}
            self.current = None
            self.finished.append(task)
        data = picture_file(body["seed"], body.get("width", 512), body.get("height", 512))
        return b64encode(data[: self.cut]).decode()

    def _share(self) -> float:
        steps = self.state["sampling_steps"]
        return self.state["sampling_step"] / steps if steps and self.state["job_count"] else 0.0

    async def _progress(self, _: web.Request) -> web.Response:
        told = {
            "progress": self._share(),
            "eta_relative": 0.0,
            "state": self.state,
            "current_image": None,
            "textinfo": None,
        }
        return web.json_response(told)

    async def _of_task(self, request: web.Request) -> web.Response:
        body = await request.json()
        task = body["id_task"]
        told: Json = {
            "active": task == self.current,
            "queued": task in self.pending,
            "completed": task in self.finished,
        }
        if not told["active"]:
            return web.json_response({**told, "id_live_preview": -1, "textinfo": "Waiting..."})
        step = self._seen = self.state["sampling_step"]
        told |= {"progress": self._share(), "eta": None, "id_live_preview": step, "live_preview": None}
        if step and step != body["id_live_preview"]:
            look = b64encode(picture_file(step, 64, 64, "jpeg")).decode()
            told["live_preview"] = f"data:image/jpeg;base64,{look}"
        return web.json_response(told)

    async def _interrupt(self, _: web.Request) -> web.Response:
        self.state["interrupted"] = True
        return web.json_response({})

    async def _unload(self, _: web.Request) -> web.Response:
        self.allocated = 0
        return web.json_response({})
