"""Pictures for the fakes of servers that paint, and what a backend makes of a request for some."""

from __future__ import annotations

from collections.abc import AsyncIterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from nexus.inference.v1 import inference_pb2
from nexus_inference_adapters.contract import Event, Finish, Media, Parts, Progress
from nexus_inference_adapters.host.backend import Backend
from nexus_inference_adapters.media import as_file
from nexus_inference_adapters.vocabulary import OPERATIONS
from nexus_operations import spec_of
from support.adapter_host import envelope

__all__ = ["asked", "edited", "gathered", "mask_file", "painted", "picture_file"]


def picture_file(seed: int, width: int, height: int, form: str = "png") -> bytes:
    """The same of the same."""
    colours = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), np.uint8)
    pixels = np.repeat(np.repeat(colours, -(-height // 4), 0), -(-width // 4), 1)[:height, :width]
    return as_file(np.ascontiguousarray(pixels), form)


def mask_file(width: int, height: int) -> bytes:
    """Black, with a hole in the upper half."""
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[height // 2 :, :, 3] = 255
    encoder: Any = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "rgba", Fraction(1)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgba")
    return b"".join(bytes(packet) for each in (frame, None) for packet in encoder.encode(each))


def asked(backend: Backend, body: dict[str, Any]) -> AsyncIterator[Event]:
    """The events of a request for pictures."""
    return backend.stream(envelope(backend, body, "image"), dict(body))


def edited(
    backend: Backend, body: dict[str, Any], files: list[tuple[str, bytes]], operation: str = "image_edit"
) -> AsyncIterator[Event]:
    """The events of a request with files, by what they are for."""

    async def messages() -> AsyncIterator[inference_pb2.UploadRequest]:
        for name, data in files:
            yield inference_pb2.UploadRequest(part=inference_pb2.Part(name=name, filename="p.png"))
            yield inference_pb2.UploadRequest(chunk=data)
        end = inference_pb2.UploadEnd(size=sum(len(data) for _, data in files))
        yield inference_pb2.UploadRequest(end=end)

    parts = Parts(messages(), spec_of(OPERATIONS[operation]).files)
    return backend.upload(envelope(backend, body, operation), dict(body), parts, stream=True)


async def painted(backend: Backend, body: dict[str, Any]) -> tuple[list[Media], list[Progress]]:
    """Each output and preview as one, and what was told beside."""
    return await gathered(asked(backend, body), body.get("n", 1))


async def gathered(events: AsyncIterator[Event], count: int = 1) -> tuple[list[Media], list[Progress]]:
    """The same of any events."""
    wholes: list[Media] = []
    progress: list[Progress] = []
    pieces, kind = b"", ""
    async for event in events:
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
            assert event.usage.output_images == count
    return wholes, progress
