"""An InvokeAI server: one item of its queue a picture, in a batch whose id is ours to take it back by."""

from __future__ import annotations

import asyncio
import binascii
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import ClassVar
from urllib.parse import quote
from uuid import uuid4

from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract import (
    Adapter,
    Completed,
    Event,
    Finish,
    Http,
    Inspection,
    Json,
    JsonObject,
    Offer,
    Patience,
    Progress,
    Seen,
    Work,
    malformed,
)
from nexus_inference_adapters.kinds.invokeai.graph import FAMILIES, OUTPUT, graph_of
from nexus_inference_adapters.kinds.invokeai.line import Line
from nexus_inference_adapters.pictures import Converter, Order, handed_on, offered, order_of
from nexus_inference_adapters.vocabulary import IMAGE

__all__ = ["InvokeAI"]

QUEUE = "default"
ITEMS = f"/api/v1/queue/{QUEUE}"
REFRESH_SECONDS = 30.0
TAKE_BACK_SECONDS = 5.0
BUSY_SECONDS = 30.0
USUAL_STEPS, MOST_STEPS = 30, 500
MOST_SEED = 2**32 - 1
MOST_FILE_BYTES = 128 * 1024 * 1024
NAMED = ("key", "hash", "name", "base", "type")
"""By which its graphs know a model."""
LOST = "InvokeAI lost this picture, or somebody took it out of its queue. Retry the request."


class InvokeAI(Adapter):
    """Its main models of the families there are graphs for."""

    kind: ClassVar[str] = "invokeai"
    ports: ClassVar[tuple[int, ...]] = (9090,)

    def __init__(self, config: BackendConfig, http: Http) -> None:
        super().__init__(config, http)
        self._models: dict[str, JsonObject] = {}
        self._loras: dict[str, JsonObject] = {}
        self._offers: list[Offer] = []
        self._schedulers: list[Json] | None = None
        self._refreshed: float | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @classmethod
    async def speaks(cls, http: Http, listing: Seen) -> str | None:
        seen = await http.look("GET", "/api/v1/app/version")
        return "invokeai" if seen.status == 200 and isinstance(seen.dig("version"), str) else None

    async def close(self) -> None:
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def inspect(self) -> Inspection:
        if (seen := await self.http.look("GET", "/api/v1/app/version")).status != 200:
            raise MeshError(
                Reason.UPSTREAM_ERROR,
                f"What listens there is no InvokeAI: it answers {seen.status} to its version.",
            )
        if self._refreshed is None or time.monotonic() - self._refreshed > REFRESH_SECONDS:
            await self._look_up()
            self._refreshed = time.monotonic()
        if not self._offers:
            told = f"It has no main model of a base that is painted with here: {', '.join(FAMILIES)}."
            return Inspection(instance_pb2.STATE_UNHEALTHY, told)
        return Inspection(instance_pb2.STATE_ACTIVE, "", self._offers, self.config.max_concurrency or 1)

    async def complete(self, work: Work, patience: Patience) -> Completed:  # noqa: ARG002 - the same for all
        raise MeshError(Reason.INVALID_REQUEST, "Pictures come as a stream only.")

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        order, model = order_of(work.body), self._models.get(work.model)
        if model is None:
            raise MeshError(Reason.MODEL_NOT_FOUND, "InvokeAI does not have this model any more.")
        batch, line, ended = str(uuid4()), Line(self.http, patience, QUEUE), False
        try:
            await line.open()
            async with Converter(order, patience) as converter:
                for index in range(order.n):
                    item = await self._enqueued(batch, self._graph(model, order, index))
                    async for event in self._watched(line, item, order, index, converter):
                        yield event
                    name = await self._made(item)
                    path = f"/api/v1/images/i/{quote(name, safe='')}"
                    async with self.http.get(f"{path}/full", patience) as answer:
                        data = await answer.read(MOST_FILE_BYTES)
                    picture = await converter.convert(data)
                    with suppress(MeshError):  # its owner need not keep it
                        await self.http.look("DELETE", path)
                    for piece in handed_on(picture, order, index=index, seed=order.seed_of(index)):
                        yield piece
            ended = True
        finally:
            await self._leave(line, batch, ended=ended)
        yield Finish(inference_pb2.Usage(output_images=order.n))

    async def _watched(
        self, line: Line, item: int, order: Order, index: int, converter: Converter
    ) -> AsyncGenerator[Event, None]:
        """How an item gets on, and looks at it, to its good end. Raises BACKEND_LOST, UPSTREAM_ERROR."""
        steps, shown, done = order.steps_of(USUAL_STEPS, MOST_STEPS), 0, 0
        while True:
            kind, data = await line.next() or ("", {})
            if kind == "" or (kind == "queue_item_status_changed" and data.get("item_id") == item):
                status = (await self._item(item)).dig("status")
                if status == "completed":
                    return
                if status not in ("pending", "waiting", "in_progress"):
                    raise _failure(await self._item(item))
                if status != "in_progress":
                    yield Progress("queued")
            elif data.get("item_id") != item:
                continue  # the queue is everybody's
            elif kind == "invocation_started":
                yield Progress("working")
            elif kind == "invocation_progress":
                share, image = data.get("percentage"), data.get("image")
                if not isinstance(share, int | float) or not 0 <= share <= 1:
                    continue
                if (at := max(done, round(share * steps))) != done:
                    done = at
                    yield Progress("painting", index * steps + at, order.n * steps, "steps")
                look = _look(image)
                due = share * (order.previews + 1) >= shown + 1
                if look and due and share < 1 and shown < order.previews:
                    for piece in handed_on(await converter.convert(look), order, index=index, preview=shown):
                        yield piece
                    shown += 1

    async def _enqueued(self, batch: str, graph: JsonObject) -> int:
        body = {"batch": {"batch_id": batch, "graph": graph, "runs": 1, "origin": "nexus"}, "prepend": False}
        seen = await self.http.look("POST", f"{ITEMS}/enqueue_batch", body, seconds=BUSY_SECONDS)
        items = seen.dig("item_ids")
        if seen.status not in (200, 201):
            raise MeshError(
                Reason.UPSTREAM_ERROR, f"InvokeAI refused the picture's graph with status {seen.status}."
            )
        if not isinstance(items, list) or len(items) != 1 or type(items[0]) is not int:
            raise MeshError(Reason.OVERLOAD, "InvokeAI's queue is full.", retry_after=1.0)
        return items[0]

    async def _item(self, item: int) -> Seen:
        seen = await self.http.look("GET", f"{ITEMS}/i/{item}", seconds=BUSY_SECONDS)
        if seen.status != 200:
            raise MeshError(Reason.BACKEND_LOST, LOST)
        return seen

    async def _made(self, item: int) -> str:
        """The name of the picture. Its nodes run as copies with ids of their own."""
        session = (await self._item(item)).dig("session")
        told: JsonObject = session if isinstance(session, dict) else {}
        copies, results = told.get("source_prepared_mapping"), told.get("results")
        made: JsonObject = results if isinstance(results, dict) else {}
        wanted = copies.get(OUTPUT) if isinstance(copies, dict) else None
        for key in wanted if isinstance(wanted, list) else ():
            result = made.get(key)
            image = result.get("image") if isinstance(result, dict) else None
            if isinstance(image, dict) and isinstance(image.get("image_name"), str):
                return image["image_name"]
        raise malformed("InvokeAI says that it is done, and has not made the picture that was asked for.")

    async def _leave(self, line: Line, batch: str, *, ended: bool) -> None:
        async def go() -> None:
            try:
                if not ended:
                    body: JsonObject = {"batch_ids": [batch]}
                    await self.http.look("PUT", f"{ITEMS}/cancel_by_batch_ids", body, seconds=BUSY_SECONDS)
            except MeshError:
                pass  # it is gone, and takes up its queue without what ran
            finally:
                await line.close()

        going = asyncio.create_task(go(), name=f"invokeai {self.config.name}")
        self._ending.add(going)
        going.add_done_callback(self._ending.discard)
        await asyncio.wait({going}, timeout=TAKE_BACK_SECONDS)

    def _graph(self, model: JsonObject, order: Order, index: int) -> JsonObject:
        family = FAMILIES[model["base"]]
        width, height = order.size or (family.side, family.side)
        given: JsonObject = {
            "prompt": order.prompt,
            "negative_prompt": order.more.get("negative_prompt", ""),
            "width": width,
            "height": height,
            "seed": order.seed_of(index) % (MOST_SEED + 1),
            "steps": order.steps_of(USUAL_STEPS, MOST_STEPS),
            "cfg_scale": order.more.get("guidance_scale", 7),
        }
        if "scheduler" in order.more:
            given["scheduler"] = order.more["scheduler"]
        lora = self._loras.get(f"{model['base']}/{order.more.get('lora_name')}")
        style = None if lora is None else (_named(lora), order.more.get("lora_strength", 1))
        return graph_of(family, _named(model), style, given)  # type: ignore[arg-type]

    async def _look_up(self) -> None:
        found = {kind: await self._listed(kind) for kind in ("main", "lora")}
        if self._schedulers is None:
            self._schedulers = await self._known_schedulers()
        names = [row["name"] for row in found["main"]]
        self._models, self._offers = {}, []
        self._loras = {f"{row['base']}/{row['name']}": row for row in found["lora"]}
        for row in found["main"]:
            name = row["name"] if names.count(row["name"]) == 1 else f"{row['name']} ({row['base']})"
            if not self.config.models or name in self.config.models:
                loras = [each["name"] for each in found["lora"] if each["base"] == row["base"]]
                told = offered(self._takes(loras), seeds=MOST_SEED)
                model = model_pb2.Model(id=name, operations=[IMAGE], parameters=[told], owner="invokeai")
                self._offers.append(Offer(model, row["key"]))
                self._models[row["key"]] = row

    def _takes(self, loras: list[str]) -> JsonObject:
        more: JsonObject = {
            "negative_prompt": {"type": "string", "maxLength": 32_000},
            "steps": {"type": "integer", "minimum": 1, "maximum": MOST_STEPS, "default": USUAL_STEPS},
            "guidance_scale": {"type": "number", "minimum": 1, "maximum": 100, "default": 7},
        }
        if self._schedulers:
            more["scheduler"] = {"enum": self._schedulers}
        if loras:
            more["lora_name"] = {"enum": loras}
            more["lora_strength"] = {"type": "number", "minimum": -10, "maximum": 10, "default": 1}
        return more

    async def _listed(self, kind: str) -> list[JsonObject]:
        rows = (await self.http.look("GET", f"/api/v2/models/?model_type={kind}")).rows("models")
        return [
            row
            for row in rows
            if all(isinstance(row.get(name), str) for name in NAMED) and row["base"] in FAMILIES
        ]

    async def _known_schedulers(self) -> list[Json]:
        """As its own description of its nodes has them."""
        seen = await self.http.look("GET", "/openapi.json", seconds=BUSY_SECONDS)
        at = ("components", "schemas", "DenoiseLatentsInvocation", "properties", "scheduler", "enum")
        found = seen.dig(*at)
        return found if isinstance(found, list) else []


def _named(row: JsonObject) -> JsonObject:
    return {name: row[name] for name in NAMED}


def _look(image: Json) -> bytes:
    url = image.get("dataURL") if isinstance(image, dict) else None
    if not isinstance(url, str) or ";base64," not in url:
        return b""
    try:
        return binascii.a2b_base64(url.partition(";base64,")[2])
    except ValueError:
        return b""


def _failure(item: Seen) -> MeshError:
    """Its own words stay there: they name files and what was asked."""
    if item.dig("status") != "failed":
        return MeshError(Reason.BACKEND_LOST, LOST)
    if "OutOfMemory" in str(item.dig("error_type")):
        return MeshError(
            Reason.UPSTREAM_ERROR,
            "InvokeAI ran out of memory. Ask for a smaller size, or use a smaller model.",
        )
    return MeshError(Reason.UPSTREAM_ERROR, "InvokeAI failed. Its own log says why.")
