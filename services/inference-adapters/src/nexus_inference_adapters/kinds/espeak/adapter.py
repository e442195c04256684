"""The voice in the box: eSpeak NG, one process for each request that speaks, and none while nobody asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, ClassVar

from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.audio import Voice, speech_model, spoken
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.children import Workers
from nexus_inference_adapters.contract import (
    Adapter,
    Completed,
    Event,
    Http,
    Inspection,
    Need,
    Offer,
    Patience,
    Work,
)
from nexus_inference_adapters.vocabulary import SPEECH, VOICE

__all__ = ["Espeak"]

SLOWEST, FASTEST = 0.5, 2.5
"""Of its usual speed: what it keeps to. Beyond, it would go no further without saying so."""
PLACES = 8
"""Requests at once. One that is read as slowly as it is heard has its process wait, and takes nothing but memory."""
LIST_SECONDS = 20.0


class Espeak(Adapter):
    """Its voices are the library's own listing, read once."""

    kind: ClassVar[str] = "espeak"
    needs: ClassVar[Need] = "path"
    instead: ClassVar[str] = "It is part of NEXUS, and in memory only while it speaks."

    def __init__(self, config: BackendConfig, http: Http) -> None:
        super().__init__(config, http)
        self._workers = Workers([str(Path(__file__).with_name("speaking.py"))])
        self._offer: Offer | None = None

    @property
    def processes(self) -> list[int]:
        """Ids of the processes that run now."""
        return self._workers.running

    async def close(self) -> None:
        await self._workers.close()

    async def inspect(self) -> Inspection:
        if self._offer is None:
            self._offer = _offer(await self._listing())
        capacity = self.config.max_concurrency or PLACES
        return Inspection(instance_pb2.STATE_ACTIVE, offers=[self._offer], capacity=capacity)

    async def complete(self, work: Work, patience: Patience) -> Completed:  # noqa: ARG002 - the same for all
        raise MeshError(Reason.INVALID_REQUEST, "Speech comes as a stream only.")

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        async with aclosing(spoken(self._workers, work.body, patience, "eSpeak NG")) as events:
            async for event in events:
                yield event

    async def _listing(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(LIST_SECONDS), self._workers.job({}) as job:
                facts: dict[str, Any] = (await job.read()).facts
        except (EOFError, TimeoutError, OSError):
            facts = {"problem": "The process that speaks does not start."}
        if "problem" in facts:
            raise MeshError(Reason.BACKEND_DOWN, facts["problem"])
        await self._workers.rest()  # until somebody asks
        return facts


def _offer(listing: dict[str, Any]) -> Offer:
    """The one model. What it says of its parameters is checked before anything reaches it."""
    voices = [Voice(one["id"], one["title"], one["languages"]) for one in listing["voices"]]
    model = model_pb2.Model(id=VOICE, operations=[SPEECH], owner="espeak-ng", loaded=True)
    return Offer(speech_model(model, voices, speeds=(SLOWEST, FASTEST)), VOICE)
