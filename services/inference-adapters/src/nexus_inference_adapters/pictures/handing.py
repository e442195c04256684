"""Pictures as events."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from nexus_operations import PICTURES

from nexus_inference_adapters.contract import MEDIA_BYTES, JsonObject, Media
from nexus_inference_adapters.pictures.converter import Picture
from nexus_inference_adapters.pictures.orders import Order

__all__ = ["handed_on"]


def handed_on(
    picture: Picture, order: Order, *, index: int, preview: int | None = None, seed: int | None = None
) -> Iterator[Media]:
    """A picture as the pieces of an output, or of a preview of it."""
    told: JsonObject = {"size": picture.size, "background": picture.background, "quality": order.quality}
    if seed is not None:
        told["seed"] = seed
    size = len(picture.data)
    for at in range(0, size, MEDIA_BYTES):
        last = at + MEDIA_BYTES >= size
        yield Media(
            picture.data[at : at + MEDIA_BYTES],
            index=index,
            preview=preview,
            mime_type="" if at else PICTURES[order.form],
            size=None if at else size,
            last=last,
            json=msgspec.json.encode(told).decode() if last else "",
        )
