"""A ComfyUI server: what it can paint by the workflows there are, and requests as prompts in its queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import ClassVar

from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import memory_pb2
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
    Offer,
    Patience,
    Progress,
    Seen,
    Work,
)
from nexus_inference_adapters.kinds.comfyui.catalogue import MOST_STEPS, Catalogue, Way, catalogue_of
from nexus_inference_adapters.kinds.comfyui.frames import Look, Stepped, Working
from nexus_inference_adapters.kinds.comfyui.nodes import Nodes
from nexus_inference_adapters.kinds.comfyui.prompting import Client
from nexus_inference_adapters.kinds.comfyui.workflow import read_all
from nexus_inference_adapters.pictures import Converter, Order, handed_on, order_of

__all__ = ["ComfyUI"]

REFRESH_SECONDS = 30.0
MOST_BYTES = 64 * 1024 * 1024
"""Of the files of a request."""
TAKE_BACK_SECONDS = 5.0
FREE_SECONDS = 10.0
POLL_SECONDS = 0.2
PREVIEWS = "--preview-method"
NOTHING = "It has no model for any workflow: put a checkpoint into its models/checkpoints."


class ComfyUI(Adapter):
    """One prompt a picture, so that each has its seed; ComfyUI runs one at a time."""

    kind: ClassVar[str] = "comfyui"
    ports: ClassVar[tuple[int, ...]] = (8188,)
    abilities = frozenset({memory_pb2.ABILITY_UNLOAD})
    instead: ClassVar[str] = "ComfyUI loads a model with the first prompt that needs it."

    def __init__(self, config: BackendConfig, http: Http) -> None:
        super().__init__(config, http)
        self._catalogue = Catalogue([], {}, [])
        self._refreshed: float | None = None
        self._previews = ""
        """How looks are to be made; empty = as its command line says."""
        self._last = ""
        """The model that ran last, and so is in memory."""
        self._ending: set[asyncio.Task[None]] = set()

    @classmethod
    async def speaks(cls, http: Http, listing: Seen) -> str | None:
        seen = await http.look("GET", "/system_stats")
        return "comfyui" if isinstance(seen.dig("system", "comfyui_version"), str) else None

    async def close(self) -> None:
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def inspect(self) -> Inspection:
        seen = await self.http.look("GET", "/system_stats")
        if seen.status != 200 or not isinstance(seen.dig("devices"), list):
            raise MeshError(
                Reason.UPSTREAM_ERROR,
                f"What listens there is no ComfyUI: it answers {seen.status} to /system_stats.",
            )
        argv = seen.dig("system", "argv")
        self._previews = "" if isinstance(argv, list) and PREVIEWS in argv else "auto"
        if self._refreshed is None or time.monotonic() - self._refreshed > REFRESH_SECONDS:
            try:
                self._catalogue = await self._look_up()
                self._refreshed = time.monotonic()
            except MeshError:
                if self._refreshed is None:
                    raise
        resident = self._resident(seen)
        if resident == {}:
            self._last = ""
        for offer in self._catalogue.offers:
            offer.model.loaded = offer.name == self._last
        reason = " ".join(self._catalogue.wrong)
        if not self._catalogue.offers:
            return Inspection(instance_pb2.STATE_UNHEALTHY, reason or NOTHING)
        capacity = self.config.max_concurrency or 1
        return Inspection(instance_pb2.STATE_ACTIVE, reason, self._catalogue.offers, capacity, resident)

    async def complete(self, work: Work, patience: Patience) -> Completed:  # noqa: ARG002 - the same for all
        raise MeshError(Reason.INVALID_REQUEST, "Pictures come as a stream only.")

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        order = order_of(work.body)
        client = Client(self.http, patience)
        prompts: list[str] = []
        ended = False
        try:
            await client.open()
            async with Converter(order, patience) as converter:
                files = await _sent(work, client, converter)
                way = self._way(work, masked="mask" in files)
                for index in range(order.n):
                    painting = self._paint(client, way, order, files, index, prompts, converter)
                    async with aclosing(painting) as events:
                        async for event in events:
                            yield event
                    self._last = work.model
            ended = True
        finally:
            await self._leave(client, prompts, ended=ended)
        yield Finish(inference_pb2.Usage(output_images=order.n))

    def _way(self, work: Work, *, masked: bool) -> Way:
        """Raises MODEL_NOT_FOUND, or CAPABILITY_MISSING where it can do it only with a mask, or without."""
        ways = self._catalogue.ways
        if (way := ways.get((work.model, work.operation, masked))) is not None:
            return way
        if (work.model, work.operation, not masked) not in ways:
            raise MeshError(Reason.MODEL_NOT_FOUND, "ComfyUI does not have this model any more.")
        raise MeshError(
            Reason.CAPABILITY_MISSING,
            f"Model {work.offered} does this {'without a mask only' if masked else 'only with a mask'}.",
            metadata={"param": "mask"},
        )

    async def unload(self, offer: Offer, patience: Patience) -> None:  # noqa: ARG002 - it has no name for one
        """All models: it knows no difference. It does so when it has nothing to do."""
        before = _held(await self.http.look("GET", "/system_stats"))
        seen = await self.http.look("POST", "/free", {"unload_models": True, "free_memory": True})
        if seen.status != 200:
            raise MeshError(Reason.UPSTREAM_ERROR, "ComfyUI did not let its models go.")
        waited = 0.0
        while before and waited < FREE_SECONDS:
            if (_held(await self.http.look("GET", "/system_stats")) or 0) < before // 2:
                break
            await patience.wait(asyncio.sleep(POLL_SECONDS))
            waited += POLL_SECONDS
        self._last = ""

    async def _paint(
        self,
        client: Client,
        way: Way,
        order: Order,
        files: dict[str, Json],
        index: int,
        prompts: list[str],
        converter: Converter,
    ) -> AsyncGenerator[Event, None]:
        """One picture, after looks at it on its way."""
        graph = way.workflow.filled(_given(way, order, index) | files)
        preview = (self._previews if order.previews else "none") if self._previews else ""
        prompt = await client.send(way.workflow, graph, preview=preview)
        prompts.append(prompt)
        shown, look = 0, b""
        async with aclosing(client.hear(prompt)) as frames:
            async for frame in frames:
                match frame:
                    case Progress():
                        yield frame
                    case Working():
                        at = graph.get(frame.node)
                        yield Progress(
                            "loading" if at is not None and "Loader" in at.class_type else "working"
                        )
                    case Look():
                        look = frame.data
                    case Stepped():
                        yield Progress(
                            "painting", index * frame.total + frame.done, order.n * frame.total, "steps"
                        )
                        if look and shown < order.previews and frame.done == _due(shown, order, frame.total):
                            seen = await converter.convert(look)
                            for piece in handed_on(seen, order, index=index, preview=shown):
                                yield piece
                            shown += 1
                        look = b""
                    case _:
                        pass
        made = await client.made(prompt, way.workflow.output)
        picture = await converter.convert(await client.fetch(made))
        seed = order.seed_of(index) if "seed" in way.workflow.parameters else None
        for piece in handed_on(picture, order, index=index, seed=seed):
            yield piece

    async def _leave(self, client: Client, prompts: list[str], *, ended: bool) -> None:
        """What still waits or runs of it is taken back at once, also by whoever is being cancelled."""

        async def rest() -> None:
            await client.forget(prompts)

        async def go() -> None:
            try:
                if not ended:
                    await client.take_back()
            except MeshError:
                pass  # it is gone, and its queue with it
            finally:
                await client.close()

        going = self._spawn(go())
        await asyncio.wait({going}, timeout=TAKE_BACK_SECONDS)
        if prompts:
            self._spawn(rest())

    def _spawn(self, work: object) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"comfyui {self.config.name}")  # type: ignore[arg-type]
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _look_up(self) -> Catalogue:
        workflows, wrong = await asyncio.to_thread(read_all, self.config.workflows)
        classes = {name for workflow in workflows for name in workflow.classes}
        nodes = await Nodes.of(self.http, classes)
        found = catalogue_of(workflows, nodes, self.config.models)
        return Catalogue(found.offers, found.ways, wrong + found.wrong)

    def _resident(self, seen: Seen) -> dict[str, int] | None:
        """What the last model takes; None on a processor, where it does not tell its own memory from others'."""
        held = _held(seen)
        if held is None:
            return None
        return {self._last: held} if held and self._last else {}


async def _sent(work: Work, client: Client, converter: Converter) -> dict[str, Json]:
    """The files of a request, decoded once and then at the server: how its nodes call them. Raises INVALID_REQUEST."""
    if work.parts is None:
        return {}
    names: dict[str, Json] = {}
    sizes: set[str] = set()
    async with work.parts.kept(MOST_BYTES) as files:
        if len(files["image"]) > 1:
            told = {"param": "image", "code": "invalid_value"}
            raise MeshError(Reason.INVALID_REQUEST, "This model takes one 'image'.", metadata=told)
        for name, (file,) in files.items():
            picture = await converter.read(file)
            sizes.add(picture.size)
            if name == "mask" and picture.background == "opaque":
                told = {"param": "mask", "code": "invalid_value"}
                why = "'mask' is transparent nowhere: what is to be painted anew must be."
                raise MeshError(Reason.INVALID_REQUEST, why, metadata=told)
            names[name] = await client.upload(picture.data)
    if len(sizes) > 1:
        told = {"param": "mask", "code": "invalid_value"}
        raise MeshError(Reason.INVALID_REQUEST, "'mask' must be as large as 'image'.", metadata=told)
    return names


def _given(way: Way, order: Order, index: int) -> dict[str, Json]:
    """The parameters of one picture, as the inputs of the workflow take them."""
    workflow = way.workflow
    given: dict[str, Json] = {"prompt": order.prompt, "seed": order.seed_of(index)}
    given |= {name: value for name, value in order.more.items() if name in workflow.parameters}  # type: ignore[misc]
    if way.choice:
        given[workflow.models] = way.choice
    if order.size is not None:
        given["width"], given["height"] = order.size
    if "steps" in workflow.parameters and type(usual := workflow.usual("steps")) is int:
        given["steps"] = order.steps_of(usual, MOST_STEPS)
    return given


def _due(shown: int, order: Order, total: int) -> int:
    """The step after which the next look is due: they are evenly spread, and the last step has its own."""
    count = min(order.previews, max(total - 1, 1))
    return total * (shown + 1) // (count + 1)


def _held(seen: Seen) -> int | None:
    """Bytes that models take on the cards; None where there are none."""
    cards = [row for row in seen.rows("devices") if row.get("type") != "cpu"]
    told = [
        total - free
        for total, free in ((row.get("torch_vram_total"), row.get("torch_vram_free")) for row in cards)
        if isinstance(total, int) and isinstance(free, int)
    ]
    return sum(told) if told else None
