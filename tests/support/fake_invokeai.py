"""A fake InvokeAI 6.14: its queue and models over HTTP, and its Socket.IO, with the habits that it is known for."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from aiohttp import WSMsgType, web
from support.fake_server import FakeServer
from support.painted import picture_file

Json = dict[str, Any]
SCHEDULERS = ["ddim", "euler", "dpmpp_2m_k"]
DENOISE = {"properties": {"scheduler": {"enum": SCHEDULERS, "default": "euler"}}}


def model(name: str, base: str, kind: str = "main") -> Json:
    about = {"key": f"key-{base}-{name}", "hash": "blake3:0", "name": name, "base": base, "type": kind}
    return {**about, "format": "checkpoint", "path": f"/models/{name}.safetensors"}


class FakeInvokeAI(FakeServer):
    """Attributes may be changed at any time.

    models; step_seconds: a step; cut: bytes of pictures that are sent, of those that are told; fails: (error_type,
    message) of what runs; refuses: enqueuing fails, with 500; mute: no Socket.IO.
    """

    def __init__(self) -> None:
        super().__init__()
        self.models = [
            model("tiny", "sd-1"),
            model("large", "sdxl"),
            model("style", "sd-1", "lora"),
            model("flux", "flux"),
        ]
        self.step_seconds = 0.0
        self.cut: int | None = None
        self.fails: tuple[str, str] | None = None
        self.refuses = False
        self.mute = False
        self.items: dict[int, Json] = {}
        self.images: dict[str, bytes] = {}
        self.sockets: set[web.WebSocketResponse] = set()
        self._worker: asyncio.Task[None] | None = None
        self._something = asyncio.Event()

    def routes(self) -> Iterable[web.RouteDef]:
        queue = "/api/v1/queue/default"
        return [
            web.get("/api/v1/app/version", self._version),
            web.get("/openapi.json", self._openapi),
            web.get("/api/v2/models/", self._models),
            web.post(f"{queue}/enqueue_batch", self._enqueue),
            web.get(f"{queue}/i/{{item}}", self._item),
            web.put(f"{queue}/cancel_by_batch_ids", self._cancel),
            web.get("/api/v1/images/i/{name}/full", self._full),
            web.delete("/api/v1/images/i/{name}", self._delete),
            web.get("/ws/socket.io/", self._socket),
        ]

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """What ran when it stopped is canceled; what waited goes on."""
        for item in self.items.values():
            if item["status"] == "in_progress":
                item["status"] = "canceled"
        await super().start(port, host)
        self._worker = asyncio.create_task(self._work())

    async def stop(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        await super().stop()

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "6.14.0"})

    async def _openapi(self, _: web.Request) -> web.Response:
        return web.json_response({"components": {"schemas": {"DenoiseLatentsInvocation": DENOISE}}})

    async def _models(self, request: web.Request) -> web.Response:
        kind = request.query.get("model_type")
        return web.json_response({"models": [one for one in self.models if kind in (None, one["type"])]})

    async def _enqueue(self, request: web.Request) -> web.Response:
        if self.refuses:
            return web.json_response({"detail": "Unexpected error while enqueuing batch"}, status=500)
        batch = (await request.json())["batch"]
        for edge in batch["graph"]["edges"]:
            for end in ("source", "destination"):
                if edge[end]["node_id"] not in batch["graph"]["nodes"]:
                    return web.json_response({"detail": "Edge references a missing node"}, status=500)
        number = len(self.items) + 1
        self.items[number] = {
            "item_id": number, "status": "pending", "batch_id": batch["batch_id"], "graph": batch["graph"],
            "session": {"results": {}, "source_prepared_mapping": {}}, "error_type": None, "error_message": None,
        }  # fmt: skip
        self._something.set()
        told = {
            "queue_id": "default",
            "enqueued": 1,
            "requested": 1,
            "batch": batch,
            "priority": 0,
            "item_ids": [number],
        }
        return web.json_response(told, status=201)

    async def _item(self, request: web.Request) -> web.Response:
        item = self.items.get(int(request.match_info["item"]))
        if item is None:
            return web.json_response({"detail": "Queue item not found"}, status=404)
        return web.json_response(item)

    async def _cancel(self, request: web.Request) -> web.Response:
        wanted = (await request.json())["batch_ids"]
        gone = [item for item in self.items.values() if item["batch_id"] in wanted and _is_open(item)]
        for item in gone:
            await self._becomes(item, "canceled")
        return web.json_response({"canceled": len(gone)})

    async def _full(self, request: web.Request) -> web.StreamResponse:
        data = self.images.get(request.match_info["name"])
        if data is None:
            return web.json_response({"detail": "Not Found"}, status=404)
        if self.cut is None:
            return web.Response(body=data, content_type="image/png")
        answer = web.StreamResponse(headers={"Content-Type": "image/png", "Content-Length": str(len(data))})
        await answer.prepare(request)
        await answer.write(data[: self.cut])
        assert request.transport is not None
        request.transport.close()
        return answer

    async def _delete(self, request: web.Request) -> web.Response:
        self.images.pop(request.match_info["name"], None)
        return web.json_response({})

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if self.mute or request.query.get("EIO") != "4" or request.query.get("transport") != "websocket":
            return web.json_response("The client is using an unsupported version", status=400)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(
            '0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
        )
        async for message in socket:
            if message.type == WSMsgType.TEXT and message.data == "40":
                await socket.send_str('40{"sid":"b"}')
                await socket.send_str("2")
            elif message.type == WSMsgType.TEXT and message.data.startswith("42"):
                name, data = json.loads(message.data[2:])
                if name == "subscribe_queue" and data == {"queue_id": "default"}:
                    self.sockets.add(socket)
        self.sockets.discard(socket)
        return socket

    async def tell(self, event: str, data: Json) -> None:
        """To everybody who subscribed."""
        for socket in list(self.sockets):
            if not socket.closed:
                await socket.send_str("42" + json.dumps([event, {"queue_id": "default", **data}]))

    async def _becomes(self, item: Json, status: str) -> None:
        item["status"] = status
        about = {"item_id": item["item_id"], "batch_id": item["batch_id"], "status": status}
        await self.tell("queue_item_status_changed", about)

    async def _work(self) -> None:
        while True:
            item = next((one for one in self.items.values() if one["status"] == "pending"), None)
            if item is None:
                self._something.clear()
                await self._something.wait()
                continue
            await self._becomes(item, "in_progress")
            await self._run(item)

    async def _run(self, item: Json) -> None:
        nodes, about = item["graph"]["nodes"], {"item_id": item["item_id"], "batch_id": item["batch_id"]}
        if self.fails is not None:
            item["error_type"], item["error_message"] = self.fails
            await self._becomes(item, "failed")
            return
        (painting,) = [node for node in nodes.values() if node["type"] == "denoise_latents"]
        (noise,) = [node for node in nodes.values() if node["type"] == "noise"]
        await self.tell("invocation_started", {**about, "invocation_source_id": painting["id"]})
        for step in range(1, painting["steps"] + 1):
            await asyncio.sleep(self.step_seconds)
            if item["status"] != "in_progress":
                return
            look = b64encode(picture_file(step, 64, 64, "jpeg")).decode()
            image = {"width": 64, "height": 64, "dataURL": f"data:image/jpeg;base64,{look}"}
            told = {"percentage": step / painting["steps"], "message": "Denoising", "image": image}
            await self.tell("invocation_progress", {**about, **told})
        name = f"{item['item_id']}.png"
        self.images[name] = picture_file(noise["seed"], noise["width"], noise["height"])
        for node in nodes.values():
            made = {
                "type": "image_output",
                "image": {"image_name": name},
                "width": noise["width"],
                "height": noise["height"],
            }
            item["session"]["source_prepared_mapping"][node["id"]] = [f"run-{node['id']}"]
            item["session"]["results"][f"run-{node['id']}"] = (
                made if node["type"] == "l2i" else {"type": "latents_output"}
            )
        await self._becomes(item, "completed")


def _is_open(item: Json) -> bool:
    return item["status"] in ("pending", "in_progress")
