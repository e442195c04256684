"""Voices of Piper: a file of the settings, or those that were pulled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import msgspec
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import memory_pb2, model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.audio import Voice, speech_model, spoken, stretch_of
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
from nexus_inference_adapters.store import RUN_BY, Store
from nexus_inference_adapters.vocabulary import SPEECH

__all__ = ["Piper"]

FORMAT = "piper"
SPEAKING = Path(__file__).with_name("speaking.py")
SLOWEST, FASTEST = 0.5, 2.0
"""Of its usual speed: what it keeps to."""
PLACES = 2
"""Texts at once: each takes all cores while it is spoken, which is much faster than it is heard."""


class _Language(msgspec.Struct):
    code: str = ""


class _Espeak(msgspec.Struct):
    voice: str = ""


class _About(msgspec.Struct):
    """What a voice's own file says: the part that callers can choose by."""

    espeak: _Espeak = msgspec.field(default_factory=_Espeak)
    language: _Language = msgspec.field(default_factory=_Language)
    speaker_id_map: dict[str, int] = msgspec.field(default_factory=dict)
    num_speakers: int = 1


@dataclass(frozen=True, slots=True)
class _Voice:
    """One that is there."""

    weights: Path
    told: Path
    about: _About
    license: str = ""
    source: str = ""


class Piper(Adapter):
    """With `path` it serves that .onnx file, with a `store` all voices that were pulled.

    A model for each. It is loaded by its first text, in a process for every text that is spoken at the same time, and
    leaves when none came for a minute.
    """

    kind: ClassVar[str] = "piper"
    needs: ClassVar[Need] = "path"
    abilities = frozenset({memory_pb2.ABILITY_LOAD, memory_pb2.ABILITY_UNLOAD, memory_pb2.ABILITY_DELETE})

    def __init__(self, config: BackendConfig, http: Http) -> None:
        super().__init__(config, http)
        self._store = None if config.store is None else Store(config.store)
        if self._store is None:
            self.abilities = self.abilities - {memory_pb2.ABILITY_DELETE}
        self._workers: dict[str, Workers] = {}

    @property
    def processes(self) -> list[int]:
        """Ids of the processes that run now."""
        return [pid for workers in self._workers.values() for pid in workers.running]

    async def close(self) -> None:
        await asyncio.gather(*(workers.close() for workers in self._workers.values()))

    async def inspect(self) -> Inspection:
        module, missing = RUN_BY[FORMAT]
        if find_spec(module) is None:
            return Inspection(instance_pb2.STATE_UNHEALTHY, missing)
        voices = await asyncio.to_thread(self._voices)
        for name in self._workers.keys() - voices.keys():
            await self._workers.pop(name).close()
        if not voices and self._store is None:
            told = f"{self.config.path} is no voice of Piper: an .onnx file with its .onnx.json beside it."
            return Inspection(instance_pb2.STATE_UNHEALTHY, told)
        offers = [self._offer(name, voice) for name, voice in sorted(voices.items())]
        resident = {offer.name: offer.size * each for offer in offers if (each := self._running(offer.name))}
        capacity = self.config.max_concurrency or PLACES
        return Inspection(instance_pb2.STATE_ACTIVE, "", offers, capacity, resident)

    async def complete(self, work: Work, patience: Patience) -> Completed:  # noqa: ARG002 - the same for all
        raise MeshError(Reason.INVALID_REQUEST, "Speech comes as a stream only.")

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        workers = await self._of(work.model)
        stretch = stretch_of(work.body.get("speed", 1.0))
        async with aclosing(spoken(workers, work.body, patience, "Piper", stretch=stretch)) as events:
            async for event in events:
                yield event

    async def load(self, offer: Offer, keep_alive: int | None, patience: Patience) -> int:  # noqa: ARG002
        async with (await self._of(offer.name)).job({}) as job:
            try:
                frame = await patience.wait(job.read())
            except EOFError:
                raise MeshError(Reason.BACKEND_LOST, "The process that speaks ended at its start.") from None
        if problem := frame.facts.get("problem"):
            raise MeshError(Reason.UPSTREAM_ERROR, f"Piper failed: {problem}.")
        return offer.size

    async def unload(self, offer: Offer, patience: Patience) -> None:
        workers = self._workers.get(offer.name)
        if workers is None:
            return
        await patience.wait(workers.rest())
        if workers.running:
            raise MeshError(
                Reason.OVERLOAD, "A text is being spoken by this voice: unload it when that is done."
            )

    async def delete(self, offer: Offer) -> None:
        if self._store is None:
            raise self.unable(memory_pb2.ABILITY_DELETE)
        if (workers := self._workers.pop(offer.name, None)) is not None:
            await workers.close()
        await asyncio.to_thread(self._store.remove, offer.name)

    async def _of(self, name: str) -> Workers:
        """Raises MODEL_NOT_FOUND."""
        if name not in self._workers:
            voice = (await asyncio.to_thread(self._voices)).get(name)
            if voice is None:
                raise MeshError(Reason.MODEL_NOT_FOUND, f"Model {name[:128]!r} is here no longer.")
            self._workers.setdefault(name, Workers([str(SPEAKING), str(voice.weights), str(voice.told)]))
        return self._workers[name]

    def _running(self, name: str) -> int:
        workers = self._workers.get(name)
        return 0 if workers is None else len(workers.running)

    def _voices(self) -> dict[str, _Voice]:
        found: dict[str, _Voice | None] = {}
        if self._store is not None:
            for each in self._store.models(FORMAT):
                found[each.about.name] = _voice(each.weights, each.about.license, each.about.source)
        elif self.config.path is not None:
            found[self.config.model_name or self.config.path.stem] = _voice(self.config.path)
        allowed = self.config.models
        return {name: voice for name, voice in found.items() if voice and (not allowed or name in allowed)}

    def _offer(self, name: str, voice: _Voice) -> Offer:
        about = voice.about
        languages = [one for one in (about.language.code.replace("_", "-"), about.espeak.voice) if one][:1]
        speakers = sorted(about.speaker_id_map) if about.num_speakers > 1 else [name.rpartition(":")[2]]
        model = model_pb2.Model(
            id=name,
            operations=[SPEECH],
            owner="piper",
            loaded=bool(self._running(name)),
            license=voice.license,
            source=voice.source,
        )
        voices = [Voice(one, languages=languages) for one in speakers]
        size = voice.weights.stat().st_size
        return Offer(speech_model(model, voices, speeds=(SLOWEST, FASTEST)), name, size=size)


def _voice(weights: Path, license_name: str = "", source: str = "") -> _Voice | None:
    """None where there is none: what is known of it stands beside it, under its name or where there is no other."""
    own = weights.with_name(f"{weights.name}.json")
    others = sorted(weights.parent.glob("*.onnx*"))
    told = own if own.exists() or len(others) != 2 else others[1 - others.index(weights)]
    try:
        about = msgspec.json.decode(told.read_bytes(), type=_About)
    except (OSError, ValueError):
        return None
    return _Voice(weights, told, about, license_name, source) if weights.is_file() else None
