"""A text at a process of ours that speaks: its frames as events, and no end that was not one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import AUDIO

from nexus_inference_adapters.children import MEDIA, PROGRESS, Workers
from nexus_inference_adapters.contract import Event, Finish, JsonObject, Media, Patience, Progress

__all__ = ["pcm_type", "spoken", "stretch_of"]

PCM_RATE = 24_000
ROUNDED = 0.24
"""Of the time that a voice of Piper's takes at its own speed, what stays however fast it speaks: every phoneme is
rounded up to a frame. Without it twice the speed would be one and a half."""


def stretch_of(speed: float) -> float:
    """By how much Piper is to lengthen phonemes for a speed."""
    return (1 / speed - ROUNDED) / (1 - ROUNDED)


def pcm_type(rate: int = PCM_RATE) -> str:
    """The media type of samples of 16 bits, mono: players must be told how many there are a second."""
    return f"{AUDIO['pcm']};rate={rate};channels=1"


async def spoken(
    workers: Workers, body: JsonObject, patience: Patience, engine: str, **more: object
) -> AsyncGenerator[Event, None]:
    """One speech request, checked, at one worker; leaving it ends the worker. `engine`: what people call it.

    Raises BACKEND_LOST when the process ends before its end, UPSTREAM_ERROR for what it says went wrong.
    """
    form: str = body.get("response_format", "mp3")
    order = {
        "text": body["input"],
        "voice": body["voice"],
        "speed": body.get("speed", 1.0),
        "format": form,
        **more,
    }
    kind = pcm_type() if form == "pcm" else AUDIO[form]
    async with workers.job(order) as job:
        while True:
            try:
                frame = await patience.wait(job.read())
            except EOFError:
                raise MeshError(
                    Reason.BACKEND_LOST, "The process that speaks ended in the middle. Retry the request."
                ) from None
            if frame.kind == MEDIA:
                patience.content_came()
                yield Media(frame.data, mime_type=kind)
                kind = ""
            elif frame.kind == PROGRESS:
                yield Progress("speaking", unit="characters", **frame.facts)  # type: ignore[arg-type]
            elif job.ended:
                break
    facts: dict[str, Any] = frame.facts
    if "problem" in facts:
        raise MeshError(Reason.UPSTREAM_ERROR, f"{engine} failed: {facts['problem']}.")
    yield Media(b"", last=True)
    yield Finish(inference_pb2.Usage(input_characters=len(body["input"]), output_seconds=facts["seconds"]))
