"""Pictures for the fakes of servers that paint, and what a backend makes of a request for some."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from nexus_inference_adapters.contract import Event, Finish, Media, Progress
from nexus_inference_adapters.host.backend import Backend
from nexus_inference_adapters.media import as_file
from support.adapter_host import envelope

__all__ = ["asked", "painted", "picture_file"]


def picture_file(seed: int, width: int, height: int, form: str = "png") -> bytes:
    """The same of the same."""
    colours = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), np.uint8)
    pixels = np.repeat(np.repeat(colours, -(-height // 4), 0), -(-width // 4), 1)[:height, :width]
    return as_file(np.ascontiguousarray(pixels), form)


def asked(backend: Backend, body: dict[str, Any]) -> AsyncIterator[Event]:
    """The events of a request for pictures."""
    return backend.stream(envelope(backend, body, "image"), dict(body))


async def painted(backend: Backend, body: dict[str, Any]) -> tuple[list[Media], list[Progress]]:
    """Each output and preview as one, and what was told beside."""
    wholes: list[Media] = []
    progress: list[Progress] = []
    pieces, kind = b"", ""
    async for event in asked(backend, body):
        if isinstance(event, Media):
            kind, pieces = event.mime_type or kind, pieces + event.data
            if event.last:
                wholes.append(Media(pieces, event.index, event.preview, kind, json=event.json))
                pieces = b""
        elif isinstance(event, Progress):
            progress.append(event)
        else:
            assert isinstance(event, Finish)
            assert event.usage is not None
            assert event.usage.output_images == body.get("n", 1)
    return wholes, progress
