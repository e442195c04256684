"""The painter in the box, one process for each request that paints, and none while nobody asks."""

from __future__ import annotations

import secrets
import signal
from asyncio import timeout
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import PICTURES

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.children import MEDIA, OUTPUT, PROGRESS, Job, Workers
from nexus_inference_adapters.contract import (
    Adapter,
    Completed,
    Event,
    Finish,
    Http,
    Inspection,
    JsonObject,
    Kept,
    Media,
    Need,
    Offer,
    Patience,
    Progress,
    Work,
)
from nexus_inference_adapters.vocabulary import IMAGE, IMAGE_EDIT, IMAGE_VARIATION, PAINTER, VIDEO

__all__ = ["Painter"]

PLACES = 2
"""Pictures at once: each takes all of a core."""
LIST_SECONDS = 20.0
USUAL_SIDE = 256
MOST_STEPS = 100
RATE, LONGEST, LARGEST_FILM = 12, 4, 256
"""Pictures a second of a film of the painting, each a step of it; seconds of the longest, and pixels of its sides."""
NOISE = "noise-"
"""A film is told apart by the noise it began with: another is made of the same by another prompt."""
MOST_SEED = 2**53
"""What JSON numbers keep everywhere."""
MOST_BYTES = 64 * 1024 * 1024
"""Of a picture and its mask together."""
FIDELITY = {"high": 0.6, "low": 0.9}
"""The strength of a change, by OpenAI's words for how much of the picture stays."""
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
        order = self._order(work)
        async with AsyncExitStack() as stack:
            files: list[Kept] = []
            if work.parts is not None:
                files = _ordered(await stack.enter_async_context(work.parts.kept(MOST_BYTES)))
                order["files"] = {each.part.name: each.size for each in files}
            async with aclosing(self._painted(work, order, files, patience)) as events:
                async for event in events:
                    yield event

    async def _painted(
        self, work: Work, order: dict[str, Any], files: list[Kept], patience: Patience
    ) -> AsyncGenerator[Event, None]:
        made, begun = _Made(order, work.body.get("quality", "auto")), False
        async with self._workers.job(order, [each.file for each in files]) as job:
            while True:
                try:
                    frame = await patience.wait(job.read())
                except EOFError:
                    raise await _lost(job, reading=bool(files) and not begun) from None
                begun = True
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
            raise _refused(facts["param"], facts["refused"], facts["code"])
        if "problem" in facts:
            raise MeshError(Reason.UPSTREAM_ERROR, f"The painter failed: {facts['problem']}.")
        if "rate" in order:
            yield Finish(inference_pb2.Usage(output_seconds=order["steps"] / order["rate"]))
            return
        usage = inference_pb2.Usage(output_images=order["n"])
        if files:
            usage.input_images = 1
        yield Finish(usage)

    def _order(self, work: Work) -> dict[str, Any]:
        if work.operation == VIDEO:
            return _film(work.body)
        body, size = work.body, work.body.get("size", "auto")
        usual = USUAL_SIDE if work.operation == IMAGE else None
        steps = body.get("steps") or round(EFFORT[body.get("quality", "auto")] * self._steps)
        return {
            "prompt": body.get("prompt"),
            "seed": body["seed"] if "seed" in body else secrets.randbelow(2**31),
            "n": body.get("n", 1),
            "side": usual if size == "auto" else int(size.partition("x")[0]),
            "strength": body.get("strength") or FIDELITY.get(body.get("input_fidelity", "")),
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
        self._kind = "" if "rate" in order else PICTURES[order["format"]]
        self._seed: int = order["seed"]
        self._facts: dict[str, Any] = {"background": "opaque", "quality": quality}
        if "rate" in order:
            seconds = order["steps"] // order["rate"]
            self._facts = {"seconds": str(seconds), "id": f"{NOISE}{order['seed']}"}
        self._index = self._size = self._left = 0
        self._preview: int | None = None

    def begin(self, facts: dict[str, Any]) -> None:
        self._index, self._preview = facts["index"], facts.get("preview")
        self._size = self._left = facts["size"]
        self._facts["size"] = facts["pixels"]
        self._kind = facts.get("mime", self._kind)
        self._facts |= {"variant": facts["variant"]} if "variant" in facts else {}
        if self._preview is None:
            self._facts.pop("variant", None)

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


def _film(body: JsonObject) -> dict[str, Any]:
    """The order for a film. Raises INVALID_REQUEST for noise that is none."""
    seed = body.get("seed", secrets.randbelow(2**31))
    if (noise := body.get("remix_video_id")) is not None:
        seed = noise.removeprefix(NOISE)
        if not noise.startswith(NOISE) or not seed.isdigit() or int(seed) > MOST_SEED:
            raise _refused("remix_video_id", "This painter has made no such video.", "invalid_value")
    side = int(body.get("size", f"{LARGEST_FILM}x").partition("x")[0])
    steps = int(body.get("seconds", "1")) * RATE
    return {"prompt": body["prompt"], "seed": int(seed), "n": 1, "side": side, "steps": steps, "rate": RATE}


def _ordered(files: dict[str, list[Kept]]) -> list[Kept]:
    """The picture, and its mask if there is one. Raises INVALID_REQUEST."""
    if (count := len(files["image"])) > 1:
        raise _refused(
            "image", f"This painter changes 1 picture at a time, and {count} were sent.", "invalid_value"
        )
    return [kept for name in ("image", "mask") for kept in files.get(name, ())]


async def _lost(job: Job, *, reading: bool) -> MeshError:
    if await job.signal() == signal.SIGXCPU and reading:
        return _refused("image", "The picture takes too long to read: save it anew, as PNG.", "invalid_image")
    return MeshError(Reason.BACKEND_LOST, "The process that paints ended in the middle. Retry the request.")


def _refused(param: str, why: str, code: str) -> MeshError:
    return MeshError(Reason.INVALID_REQUEST, why, metadata={"param": param, "code": code})


def _offer(listing: dict[str, Any]) -> Offer:
    """The one model. What it says of its parameters is checked before anything reaches it."""
    told = [
        model_pb2.OperationParameters(
            operation=operation,
            schema=msgspec.json.encode(
                {
                    "type": "object",
                    "required": required,
                    "properties": {
                        name: rule for name, rule in _rules(listing).items() if name not in left_out
                    },
                    "additionalProperties": False,
                }
            ).decode(),
        )
        for operation, required, left_out in TAKES
    ]
    told.append(_films(listing))
    does = [each.operation for each in told]
    model = model_pb2.Model(id=PAINTER, operations=does, parameters=told, owner="nexus", loaded=True)
    return Offer(model, PAINTER)


def _films(listing: dict[str, Any]) -> model_pb2.OperationParameters:
    sizes = [f"{side}x{side}" for side in listing["sides"] if side <= LARGEST_FILM]
    rules, lengths = _rules(listing), [str(seconds) for seconds in range(1, LONGEST + 1)]
    properties = {
        "prompt": rules["prompt"],
        "seconds": {"enum": lengths, "default": "2"},
        "size": {"enum": sizes, "default": sizes[-1]},
        "seed": rules["seed"],
        "remix_video_id": {"type": "string", "description": "The noise of another video: noise-SEED."},
    }
    schema = {
        "type": "object",
        "required": ["prompt"],
        "properties": properties,
        "additionalProperties": False,
    }
    return model_pb2.OperationParameters(operation=VIDEO, schema=msgspec.json.encode(schema).decode())


CHANGES = ("image", "mask", "strength", "input_fidelity")
TAKES: tuple[tuple[model_pb2.Operation, list[str], tuple[str, ...]], ...] = (
    (IMAGE, ["prompt"], CHANGES),
    (IMAGE_EDIT, ["image", "prompt"], ()),
    (IMAGE_VARIATION, ["image"], ("prompt", "mask", "input_fidelity", "partial_images")),
)
"""What each kind of work needs, and what it does not take of all that there is."""


def _rules(listing: dict[str, Any]) -> dict[str, JsonObject]:
    sizes = [f"{side}x{side}" for side in listing["sides"]]
    least, most = listing["read"]
    file = {"type": "string", "format": "binary", "contentMediaType": "image/png, image/jpeg, image/webp"}
    return {
        "prompt": {
            "type": "string", "minLength": 1, "description": listing["words"], "examples": listing["examples"],
        },
        "image": {**file, "description": f"One picture of {least} to {most} pixels a side: png, jpeg, webp."},
        "mask": {**file, "description": "Of the same size; where it is transparent the picture is painted anew."},
        "strength": {
            "type": "number", "minimum": 0.01, "maximum": 1,
            "description": "How much is made anew; 1 = nothing stays. By itself 1 with a mask and 0.8 without.",
        },
        "input_fidelity": {"enum": [*FIDELITY]},
        "n": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
        "size": {"enum": ["auto", *sizes], "default": "auto"},
        "quality": {"enum": [*EFFORT], "default": "auto"},
        "steps": {"type": "integer", "minimum": 1, "maximum": MOST_STEPS, "default": listing["steps"]},
        "seed": {"type": "integer", "minimum": 0, "maximum": MOST_SEED},
        "output_format": {"enum": [*PICTURES], "default": "png"},
        "output_compression": {"type": "integer", "minimum": 0, "maximum": 100, "default": 100},
        "background": {"enum": ["auto", "opaque"], "default": "auto"},
        "partial_images": {"type": "integer", "minimum": 0, "maximum": 3, "default": 0},
    }  # fmt: skip
