"""The painter in the box, one process for each request that paints, and none while nobody asks."""

from __future__ import annotations

import secrets
from asyncio import timeout
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import PICTURES

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.children import MEDIA, OUTPUT, PROGRESS, Workers
from nexus_inference_adapters.contract import (
    Adapter,
    Completed,
    Event,
    Finish,
    Http,
    Inspection,
    JsonObject,
    Media,
    Need,
    Offer,
    Patience,
    Progress,
    Work,
)
from nexus_inference_adapters.vocabulary import IMAGE, PAINTER

__all__ = ["Painter"]

PLACES = 2
"""Pictures at once: each takes all of a core."""
LIST_SECONDS = 20.0
USUAL_SIDE = 256
MOST_STEPS = 100
MOST_SEED = 2**53
"""What JSON numbers keep everywhere."""
EFFORT = {"low": 0.5, "standard": 1, "medium": 1, "auto": 1, "high": 2, "hd": 2}
"""How many of its usual steps each quality takes."""


class Painter(Adapter):
    """What it can paint is its own listing, read once."""

    kind: ClassVar[str] = "painter"
    needs: ClassVar[Need] = "path"
    instead: ClassVar[str] = "It is part of NEXUS, and in memory only while it paints."

    def __init__(self, config: BackendConfig, http: Http) -> None:
        super().__init__(config, http)
        self._workers = Workers([str(Path(__file__).with_name("painting.py"))])
        self._steps = 0
        self._offer: Offer | None = None

    @property
    def processes(self) -> list[int]:
        """Ids of the processes that run now."""
        return self._workers.running

    async def close(self) -> None:
        await self._workers.close()

    async def inspect(self) -> Inspection:
        if self._offer is None:
            listing = await self._listing()
            self._steps = listing["steps"]
            self._offer = _offer(listing)
        capacity = self.config.max_concurrency or PLACES
        return Inspection(instance_pb2.STATE_ACTIVE, offers=[self._offer], capacity=capacity)

    async def complete(self, work: Work, patience: Patience) -> Completed:  # noqa: ARG002 - the same for all
        raise MeshError(Reason.INVALID_REQUEST, "Pictures come as a stream only.")

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        order = self._order(work.body)
        made = _Made(order, work.body.get("quality", "auto"))
        async with self._workers.job(order) as job:
            while True:
                try:
                    frame = await patience.wait(job.read())
                except EOFError:
                    raise MeshError(
                        Reason.BACKEND_LOST, "The process that paints ended in the middle. Retry the request."
                    ) from None
                if frame.kind == OUTPUT:
                    made.begin(frame.facts)
                elif frame.kind == MEDIA:
                    patience.content_came()
                    yield made.piece(frame.data)
                elif frame.kind == PROGRESS:
                    yield Progress("painting", unit="steps", **frame.facts)  # type: ignore[arg-type]
                elif job.ended:
                    break
        facts: dict[str, Any] = frame.facts
        if "refused" in facts:
            told = {"param": "prompt", "code": "invalid_value"}
            raise MeshError(Reason.INVALID_REQUEST, facts["refused"], metadata=told)
        if "problem" in facts:
            raise MeshError(Reason.UPSTREAM_ERROR, f"The painter failed: {facts['problem']}.")
        yield Finish(inference_pb2.Usage(output_images=order["n"]))

    def _order(self, body: JsonObject) -> dict[str, Any]:
        size: str = body.get("size", "auto")
        steps = body.get("steps") or round(EFFORT[body.get("quality", "auto")] * self._steps)
        return {
            "prompt": body["prompt"],
            "seed": body["seed"] if "seed" in body else secrets.randbelow(2**31),
            "n": body.get("n", 1),
            "side": USUAL_SIDE if size == "auto" else int(size.partition("x")[0]),
            "steps": steps,
            "previews": min(body.get("partial_images", 0), steps - 1),
            "format": body.get("output_format", "png"),
            "quality": body.get("output_compression", 100),
        }

    async def _listing(self) -> dict[str, Any]:
        try:
            async with timeout(LIST_SECONDS), self._workers.job({}) as job:
                facts: dict[str, Any] = (await job.read()).facts
        except (EOFError, TimeoutError, OSError):
            facts = {"problem": "The process that paints does not start."}
        if "problem" in facts:
            raise MeshError(Reason.BACKEND_DOWN, facts["problem"])
        await self._workers.rest()  # until somebody asks
        return facts


class _Made:
    """The outputs of one order, piece by piece as they come."""

    def __init__(self, order: dict[str, Any], quality: str) -> None:
        side = order["side"]
        self._kind = PICTURES[order["format"]]
        self._seed: int = order["seed"]
        self._facts = {"size": f"{side}x{side}", "background": "opaque", "quality": quality}
        self._index = self._size = self._left = 0
        self._preview: int | None = None

    def begin(self, facts: dict[str, Any]) -> None:
        self._index, self._preview = facts["index"], facts.get("preview")
        self._size = self._left = facts["size"]

    def piece(self, data: bytes) -> Media:
        first, self._left = self._left == self._size, self._left - len(data)
        last = not self._left
        told = {**self._facts, "seed": self._seed + self._index}
        return Media(
            data,
            index=self._index,
            preview=self._preview,
            mime_type=self._kind if first else "",
            size=self._size if first else None,
            last=last,
            json=msgspec.json.encode(told).decode() if last else "",
        )


def _offer(listing: dict[str, Any]) -> Offer:
    """The one model. What it says of its parameters is checked before anything reaches it."""
    sizes = [f"{side}x{side}" for side in listing["sides"]]
    schema = {
        "type": "object",
        "required": ["prompt"],
        "properties": {
            "prompt": {"type": "string", "minLength": 1, "description": listing["words"]},
            "n": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
            "size": {"enum": ["auto", *sizes], "default": "auto"},
            "quality": {"enum": [*EFFORT], "default": "auto"},
            "steps": {"type": "integer", "minimum": 1, "maximum": MOST_STEPS, "default": listing["steps"]},
            "seed": {"type": "integer", "minimum": 0, "maximum": MOST_SEED},
            "output_format": {"enum": [*PICTURES], "default": "png"},
            "output_compression": {"type": "integer", "minimum": 0, "maximum": 100, "default": 100},
            "background": {"enum": ["auto", "opaque"], "default": "auto"},
            "partial_images": {"type": "integer", "minimum": 0, "maximum": 3, "default": 0},
        },
        "additionalProperties": False,
    }
    told = model_pb2.OperationParameters(operation=IMAGE, schema=msgspec.json.encode(schema).decode())
    model = model_pb2.Model(id=PAINTER, operations=[IMAGE], parameters=[told], owner="nexus", loaded=True)
    return Offer(model, PAINTER)
