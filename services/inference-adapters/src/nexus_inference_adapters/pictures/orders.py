"""A request for pictures as servers understand it, and the schema of what one takes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from nexus.types.v1 import model_pb2
from nexus_operations import PICTURES

from nexus_inference_adapters.contract import JsonObject
from nexus_inference_adapters.vocabulary import IMAGE

__all__ = ["MOST_SEED", "SIZES", "Order", "offered", "order_of", "size_of"]

MOST_SEED = 2**53
"""What JSON numbers keep everywhere."""
SIZES = (
    "256x256", "512x512", "512x768", "768x512", "768x768", "640x1536", "768x1344", "832x1216", "896x1152",
    "1024x1024", "1152x896", "1216x832", "1344x768", "1536x640", "1024x1536", "1536x1024", "1024x1792", "1792x1024",
)  # fmt: skip
"""What models of pictures were taught at, and what OpenAI's clients ask for."""
EFFORT = {"low": 0.5, "standard": 1, "medium": 1, "auto": 1, "high": 2, "hd": 2}
"""How many of its usual steps each quality takes."""
FILE: JsonObject = {"type": "string", "format": "binary", "contentMediaType": ", ".join(PICTURES.values())}
BETWEEN = ("n", "size", "quality", "output_format", "output_compression", "background", "partial_images")


@dataclass(frozen=True, slots=True)
class Order:
    """`size` None = the server's own; `steps` 0 = as many as is usual, times `effort`. `more`: what else was asked."""

    prompt: str
    n: int
    seed: int
    size: tuple[int, int] | None
    steps: int
    effort: float
    quality: str
    form: str
    compression: int
    previews: int
    more: Mapping[str, object]

    def seed_of(self, index: int) -> int:
        """Of one of the pictures."""
        return (self.seed + index) % (MOST_SEED + 1)

    def steps_of(self, usual: int, most: int) -> int:
        return self.steps or min(most, max(1, round(usual * self.effort)))


def order_of(body: JsonObject) -> Order:
    """Of a body that the host has checked. Without a seed, chance has one."""
    size: str = body.get("size") or "auto"
    quality: str = body.get("quality") or "auto"
    return Order(
        prompt=body.get("prompt") or "",
        n=body.get("n") or 1,
        seed=secrets.randbelow(2**31) if body.get("seed") is None else body["seed"],
        size=None if size == "auto" else size_of(size),
        steps=body.get("steps") or 0,
        effort=EFFORT.get(quality, 1),
        quality=quality,
        form=body.get("output_format") or "png",
        compression=100 if body.get("output_compression") is None else body["output_compression"],
        previews=body.get("partial_images") or 0,
        more={
            name: value
            for name, value in body.items()
            if value is not None
            and name not in (*BETWEEN, "model", "user", "stream", "prompt", "seed", "steps")
        },
    )


def size_of(text: str) -> tuple[int, int]:
    """Width and height of "WxH". Raises ValueError."""
    width, _, height = text.partition("x")
    return int(width), int(height)


def offered(
    more: Mapping[str, JsonObject],
    *,
    sizes: Sequence[str] = SIZES,
    previews: bool = True,
    efforts: bool = True,
    seeds: int = MOST_SEED,
    operation: model_pb2.Operation = IMAGE,
    prompts: bool = True,
    files: Sequence[str] = (),
) -> model_pb2.OperationParameters:
    """What a model takes: what all servers have, and `more` of its own. It is checked before anything reaches one.

    `seeds`: the largest; 0 = it takes none. `files`: names of those that come with it, the first one always.
    """
    properties: JsonObject = {
        "prompt": {"type": "string", "minLength": 1, "description": "What to paint."},
        "n": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
        "size": {"enum": ["auto", *sizes], "default": "auto"},
        "output_format": {"enum": [*PICTURES], "default": "png"},
        "output_compression": {"type": "integer", "minimum": 0, "maximum": 100, "default": 100},
        "background": {"enum": ["auto", "opaque"], "default": "auto"},
        "partial_images": {"type": "integer", "minimum": 0, "maximum": 3 if previews else 0, "default": 0},
        "quality": {"enum": [*EFFORT] if efforts else ["auto"], "default": "auto"},
        **dict.fromkeys(files, FILE),
        **more,
    }
    if not prompts:
        del properties["prompt"]
    if seeds:
        told = "The same one makes the same picture again."
        properties["seed"] = {"type": "integer", "minimum": 0, "maximum": seeds, "description": told}
    schema = {
        "type": "object",
        "required": [*files[:1], *(["prompt"] if prompts else [])],
        "properties": properties,
        "additionalProperties": False,
    }
    return model_pb2.OperationParameters(operation=operation, schema=msgspec.json.encode(schema).decode())
