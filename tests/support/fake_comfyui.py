"""A fake ComfyUI 0.8.0: its routes, its queue and its WebSocket, with the habits that recordings of a real one show.

Events of a prompt go to the client that sent it and to nobody else, success is told before history is written, nodes
that ran before are not run again, and an interrupt takes effect at the next node or step.
"""

from __future__ import annotations

import asyncio
import email
import json
import struct
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import WSMsgType, web
from support.fake_comfyui_graph import Broken, Interrupted, Run, faults_of
from support.fake_server import FakeServer

Json = dict[str, Any]
FEATURES = {
    "supports_preview_metadata": True,
    "max_upload_size": 104857600,
    "extension": {"manager": {"supports_v4": True}},
}
STATS: Json = {
    "system": {"os": "linux", "ram_total": 2**34, "ram_free": 2**33, "comfyui_version": "0.8.0", "argv": ["main.py"]},
    "devices": [
        {
            "name": "cuda:0", "type": "cuda", "index": 0, "vram_total": 2**33, "vram_free": 2**32,
            "torch_vram_total": 0, "torch_vram_free": 0,
        }
    ],
}  # fmt: skip


class FakeComfyUI(FakeServer):
    """Attributes may be changed at any time.

    nodes: what object_info tells, by class; pace: seconds a node takes by class and inputs; step_seconds: a step of
    a sampler; old: a build that takes no id for a prompt and interrupts whatever runs; cut: bytes of pictures that are
    sent, of those that are told; fails: class of a node that raises, and what.
    """

    def __init__(self, nodes: Json, *, old: bool = False) -> None:
        super().__init__()
        self.nodes = nodes
        self.old = old
        self.pace: Callable[[str, Json], float] = lambda _kind, _inputs: 0.0
        self.step_seconds = 0.0
        self.cut: int | None = None
        self.fails: dict[str, str] = {}
        self.stats = json.loads(json.dumps(STATS))
        self.pending: list[list[Any]] = []
        self.running: list[Any] | None = None
        self.history: dict[str, Json] = {}
        self.files: dict[tuple[str, str, str], bytes] = {}
        self.sockets: dict[str, web.WebSocketResponse] = {}
        self.cache: dict[str, Any] = {}
        self.interrupted = False
        self.freed = 0
        self._metadata: set[str] = set()
        self._number = 0
        self._something = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.get("/ws", self._socket),
            web.get("/system_stats", self._stats),
            web.get("/features", self._features),
            web.get("/object_info/{name}", self._object_info),
            web.get("/prompt", self._remaining),
            web.post("/prompt", self._prompt),
            web.get("/queue", self._queue),
            web.post("/queue", self._change_queue),
            web.get("/history", self._all_history),
            web.get("/history/{prompt}", self._history_of),
            web.post("/history", self._change_history),
            web.get("/view", self._view),
            web.post("/interrupt", self._interrupt),
            web.post("/free", self._free),
            web.post("/upload/image", self._upload),
        ]

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        await super().start(port, host)
        self._worker = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """As a kill: what waited, ran or was remembered is gone."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        for socket in list(self.sockets.values()):
            if (transport := socket._req and socket._req.transport) is not None:
                transport.abort()
        self.sockets.clear()
        self.pending, self.running, self.history, self.cache = [], None, {}, {}
        await super().stop()

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        client = request.query.get("clientId") or uuid.uuid4().hex
        self.sockets[client] = socket  # whoever had this id hears nothing more
        await self.tell(client, "status", {"status": self._queue_info(), "sid": client})
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT and json.loads(message.data).get("type") == "feature_flags":
                    self._metadata.add(client)
                    await self.tell(client, "feature_flags", FEATURES)
        finally:
            self.sockets.pop(
                client, None
            )  # also another one's that has taken its place: so does the real one
        return socket

    async def tell(self, client: str, kind: str, data: Json) -> None:
        """An event for one client, if it listens."""
        if (socket := self.sockets.get(client)) is not None and not socket.closed:
            await socket.send_str(json.dumps({"type": kind, "data": data}))

    async def show(self, client: str, about: Json, picture: bytes) -> None:
        """A look at what is being made, in the form that the client can read."""
        if (socket := self.sockets.get(client)) is None or socket.closed:
            return
        if client in self._metadata:
            told = json.dumps({**about, "image_type": "image/jpeg"}).encode()
            await socket.send_bytes(struct.pack(">II", 4, len(told)) + told + picture)
        else:
            await socket.send_bytes(struct.pack(">II", 1, 1) + picture)

    async def _status(self) -> None:
        for client in list(self.sockets):
            await self.tell(client, "status", {"status": self._queue_info()})

    def _queue_info(self) -> Json:
        return {"exec_info": {"queue_remaining": len(self.pending) + (self.running is not None)}}

    async def _stats(self, _: web.Request) -> web.Response:
        return web.json_response(self.stats)

    async def _features(self, _: web.Request) -> web.Response:
        return web.json_response(FEATURES)

    async def _remaining(self, _: web.Request) -> web.Response:
        return web.json_response(self._queue_info())

    async def _all_history(self, _: web.Request) -> web.Response:
        return web.json_response(self.history)

    async def _object_info(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return web.json_response({name: self.nodes[name]} if name in self.nodes else {})

    async def _prompt(self, request: web.Request) -> web.Response:
        body = await request.json()
        error, wrong, outputs = faults_of(self.nodes, body, self.files)
        if error is not None:
            return web.json_response({"error": error, "node_errors": wrong}, status=400)
        prompt = str(uuid.uuid4()) if self.old else body.get("prompt_id") or str(uuid.uuid4())
        extra = {
            **body.get("extra_data", {}),
            **({"client_id": body["client_id"]} if "client_id" in body else {}),
        }
        item = [self._number, prompt, body["prompt"], extra, outputs]
        self._number += 1
        self.pending.append(item)
        await self._status()
        self._something.set()
        return web.json_response({"prompt_id": prompt, "number": item[0], "node_errors": wrong})

    async def _queue(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"queue_running": [self.running] if self.running else [], "queue_pending": self.pending}
        )

    async def _change_queue(self, request: web.Request) -> web.Response:
        body = await request.json()
        gone = body.get("delete", [])
        kept = [] if body.get("clear") else [item for item in self.pending if item[1] not in gone]
        changed, self.pending = bool(body.get("clear")) or len(kept) != len(self.pending), kept
        if changed:
            await self._status()
        return web.Response()

    async def _history_of(self, request: web.Request) -> web.Response:
        prompt = request.match_info["prompt"]
        return web.json_response({prompt: self.history[prompt]} if prompt in self.history else {})

    async def _change_history(self, request: web.Request) -> web.Response:
        body = await request.json()
        for prompt in list(self.history) if body.get("clear") else body.get("delete", []):
            self.history.pop(prompt, None)
        return web.Response()

    async def _view(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        data = self.files.get(
            (query.get("type", "output"), query.get("subfolder", ""), query.get("filename", ""))
        )
        if data is None:
            return web.Response(status=404)
        if self.cut is None:
            return web.Response(body=data, content_type="image/png")
        answer = web.StreamResponse(headers={"Content-Type": "image/png", "Content-Length": str(len(data))})
        await answer.prepare(request)
        await answer.write(data[: self.cut])
        assert request.transport is not None
        request.transport.close()
        return answer

    async def _interrupt(self, request: web.Request) -> web.Response:
        try:
            wanted = (await request.json()).get("prompt_id")
        except json.JSONDecodeError:
            wanted = None
        if self.old or wanted is None or (self.running is not None and self.running[1] == wanted):
            self.interrupted = True
        return web.Response()

    async def _free(self, _: web.Request) -> web.Response:
        self.freed += 1
        self.cache.clear()
        self.stats["devices"][0] |= {"torch_vram_total": 0, "torch_vram_free": 0}
        return web.Response()

    async def _upload(self, request: web.Request) -> web.Response:
        head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
        parts = {
            str(part.get_param("name", header="content-disposition")): part
            for part in email.message_from_bytes(head + await request.read()).walk()
            if not part.is_multipart()
        }
        image = parts["image"]
        folder = bytes(parts["type"].get_payload(decode=True)).decode() if "type" in parts else "input"
        name = str(image.get_filename())
        self.files[folder, "", name] = bytes(image.get_payload(decode=True))
        return web.json_response({"name": name, "subfolder": "", "type": folder})

    async def _work(self) -> None:
        while True:
            while not self.pending:
                self._something.clear()
                await self._something.wait()
            self.running = self.pending.pop(0)
            await self._status()
            await self._run(self.running)

    async def _run(self, item: list[Any]) -> None:
        _, prompt, graph, extra, outputs = item
        client = extra.get("client_id", "")
        self.interrupted = False
        run = Run(self, prompt, graph, client, extra.get("preview_method", "none"))
        told: list[tuple[str, Json]] = []

        async def say(kind: str, data: Json) -> None:
            told.append((kind, {**data, "prompt_id": prompt, "timestamp": 0}))
            await self.tell(client, *told[-1])

        await say("execution_start", {})
        await say("execution_cached", {"nodes": run.cached()})
        success = False
        try:
            for output in outputs:
                await run.execute(output)
            await say("execution_success", {})
            success = True
        except Broken as error:
            await say("execution_error", error.about)
        except Interrupted as stop:
            await say("execution_interrupted", stop.about)
        self.stats["devices"][0] |= {"torch_vram_total": 2**31, "torch_vram_free": 2**29}
        made = run.made if success else {}
        self.running = None
        self.history[prompt] = {
            "prompt": item,
            "outputs": made,
            "status": {"status_str": "success" if success else "error", "completed": success, "messages": told},
            "meta": {node: dict.fromkeys(("node_id", "display_node", "real_node_id"), node) for node in made},
        }  # fmt: skip
        await self._status()
        await self.tell(client, "executing", {"node": None, "prompt_id": prompt})
