"""Samples of a server as the file that was asked for, made on the way in a process that can do nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import AUDIO

from nexus_inference_adapters import media
from nexus_inference_adapters.audio.spoken import pcm_type
from nexus_inference_adapters.children import FRAME_BYTES, MEDIA, Frame, Job, Workers
from nexus_inference_adapters.contract import Event, Finish, JsonObject, Media, Patience, malformed

__all__ = ["TRANSCODER", "encoded"]

TRANSCODER = (str(Path(media.__file__).with_name("transcoding.py")),)
"""What Workers are to run for it."""
SAMPLE_BYTES = 2
RATES = range(4_000, 192_001)


async def encoded(
    workers: Workers, body: JsonObject, rate: int, samples: AsyncIterator[bytes], patience: Patience
) -> AsyncGenerator[Event, None]:
    """The answer to a speech request from samples of 16 bits, mono, up to the good end of `samples`.

    Leaving it ends the worker. Raises UPSTREAM_MALFORMED for no samples, or half of one.
    """
    if rate not in RATES:
        raise malformed("The backend's sound has a rate that no sound has.")
    form: str = body.get("response_format", "mp3")
    kind, any_came = pcm_type() if form == "pcm" else AUDIO[form], False
    async with workers.job({"rate": rate, "format": form}) as job:
        async for data in _evenly(samples):
            any_came = True
            await patience.wait(job.feed(data))
            while (frame := await _read(job, patience)).kind == MEDIA:
                patience.content_came()
                yield Media(frame.data, mime_type=kind)
                kind = ""
        if not any_came:
            raise malformed("The backend's answer has no sound in it.")
        await patience.wait(job.feed(b""))
        while (frame := await _read(job, patience)).kind == MEDIA:
            yield Media(frame.data, mime_type=kind)
            kind = ""
    facts: dict[str, Any] = frame.facts
    yield Media(b"", last=True)
    yield Finish(inference_pb2.Usage(input_characters=len(body["input"]), output_seconds=facts["seconds"]))


async def _evenly(samples: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """In pieces of whole samples. Raises UPSTREAM_MALFORMED when half of one is left."""
    odd = b""
    async for data in samples:
        whole = odd + data
        even = len(whole) // SAMPLE_BYTES * SAMPLE_BYTES
        odd = whole[even:]
        for at in range(0, even, FRAME_BYTES):
            yield whole[at : min(at + FRAME_BYTES, even)]
    if odd:
        raise malformed("The backend's sound ends in the middle of a sample.")


async def _read(job: Job, patience: Patience) -> Frame:
    try:
        frame = await patience.wait(job.read())
    except EOFError:
        raise MeshError(
            Reason.UPSTREAM_ERROR, "The process that encodes sound ended in the middle. Retry the request."
        ) from None
    if "problem" in (frame.facts if job.ended else {}):
        raise MeshError(Reason.UPSTREAM_ERROR, "The sound could not be encoded.")
    return frame
