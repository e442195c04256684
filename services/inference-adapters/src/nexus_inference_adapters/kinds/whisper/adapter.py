"""Models that hear: a folder of the settings, or those that were pulled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import memory_pb2, model_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_operations import Operation

from nexus_inference_adapters.audio import LANGUAGES, Transcript, code_of, decoded, delta, done, text_of
from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract import (
    Adapter,
    Completed,
    Event,
    Finish,
    Http,
    Inspection,
    JsonObject,
    Need,
    Offer,
    Parts,
    Patience,
    Progress,
    Work,
)
from nexus_inference_adapters.kinds.whisper.catalogue import told_of
from nexus_inference_adapters.kinds.whisper.engine import Engine
from nexus_inference_adapters.store import RUN_BY, Store
from nexus_inference_adapters.vocabulary import operations_named

__all__ = ["Whisper"]

FORMAT = "ctranslate2"
WEIGHTS = "model.bin"
MOST_BYTES = 2048 * 1024 * 1024
ENGLISH_WORDS = 51_864
IDLE_SECONDS = 300.0
LOOK_SECONDS = 15.0
DOES = ("transcription", "translation")
TASKS = {int(Operation.TRANSCRIPTION): "transcribe", int(Operation.TRANSLATION): "translate"}


@dataclass(frozen=True, slots=True)
class Folder:
    """A model that is there."""

    path: Path
    license: str = ""
    source: str = ""

    @property
    def english_only(self) -> bool:
        """By its vocabulary: other models have words for languages in it."""
        return _knows_english_only(self.path)


class Whisper(Adapter):
    """With `path` it serves that folder, with a `store` all models of its kind that were pulled.

    A model is loaded by its first recording, hears one at a time, and leaves when none came for five minutes.
    """

    kind: ClassVar[str] = "whisper"
    needs: ClassVar[Need] = "path"
    abilities = frozenset({memory_pb2.ABILITY_LOAD, memory_pb2.ABILITY_UNLOAD, memory_pb2.ABILITY_DELETE})

    def __init__(self, config: BackendConfig, http: Http) -> None:
        super().__init__(config, http)
        self._store = None if config.store is None else Store(config.store)
        if self._store is None:
            self.abilities = self.abilities - {memory_pb2.ABILITY_DELETE}
        self._engines: dict[str, Engine] = {}
        self._used: dict[str, float] = {}
        self._sweeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._sweeping = asyncio.create_task(self._sweep(), name=f"whisper {self.config.name}")

    async def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait({self._sweeping})
        await asyncio.gather(*(engine.close() for engine in self._engines.values()))

    async def inspect(self) -> Inspection:
        module, missing = RUN_BY[FORMAT]
        if find_spec(module) is None:
            return Inspection(instance_pb2.STATE_UNHEALTHY, missing)
        folders = await asyncio.to_thread(self._folders)
        for name in self._engines.keys() - folders.keys():
            await self._engines.pop(name).close()
        if not folders and self._store is None:
            told = f"{self.config.path} is no folder of a Whisper model for CTranslate2: it has no {WEIGHTS}."
            return Inspection(instance_pb2.STATE_UNHEALTHY, told)
        offers = [self._offer(name, folder) for name, folder in sorted(folders.items())]
        resident = {name: offer.size for offer in offers if self._is_up(name := offer.name)}
        capacity = self.config.max_concurrency or 1  # one recording keeps every core busy
        return Inspection(instance_pb2.STATE_ACTIVE, "", offers, capacity, resident)

    async def complete(self, work: Work, patience: Patience) -> Completed:  # noqa: ARG002 - as every kind
        raise MeshError(Reason.INVALID_REQUEST, "A recording comes with the request: send it by Upload.")

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        order = _order(work, english_only=(await self._held(work.model)).english_only)
        if work.parts is None:
            await self.complete(work, patience)
        else:
            async with aclosing(self._hear(work, order, work.parts, patience)) as events:
                async for event in events:
                    yield event

    async def load(self, offer: Offer, keep_alive: int | None, patience: Patience) -> int:  # noqa: ARG002
        await (await self._engine(offer.name)).load(patience)
        return offer.size

    async def unload(self, offer: Offer, patience: Patience) -> None:
        engine = self._engines.get(offer.name)
        if engine is not None and engine.is_busy:
            raise MeshError(
                Reason.OVERLOAD, "A recording is being heard by this model: unload it when that is done."
            )
        if engine is not None:
            await patience.wait(engine.close())

    async def delete(self, offer: Offer) -> None:
        if self._store is None:
            raise self.unable(memory_pb2.ABILITY_DELETE)
        if (engine := self._engines.pop(offer.name, None)) is not None:
            await engine.close()
        await asyncio.to_thread(self._store.remove, offer.name)

    async def _hear(
        self, work: Work, order: JsonObject, parts: Parts, patience: Patience
    ) -> AsyncGenerator[Event, None]:
        async with parts.kept(MOST_BYTES) as files:
            yield Progress("decoding")
            async with decoded(files["file"][0], patience) as sound:
                transcript = Transcript(task=order["task"], duration=sound.seconds)
                engine = await self._engine(work.model)
                yield Progress("loading" if not engine.is_up else "hearing", 0, int(sound.seconds), "seconds")
                async with aclosing(engine.recognise(order, sound.file, patience)) as lines:
                    async for told in lines:
                        if (event := _heard(transcript, told, work)) is not None:
                            patience.content_came()
                            yield event
        self._used[work.model] = time.monotonic()
        usage = inference_pb2.Usage(input_seconds=transcript.duration)
        if work.stream:
            yield [done(transcript)]
        else:
            wanted = work.body.get("response_format") or "json"
            yield text_of(transcript, wanted, work.body.get("timestamp_granularities") or ())
        yield Finish(usage)

    async def _engine(self, name: str) -> Engine:
        """Raises MODEL_NOT_FOUND."""
        self._used[name] = time.monotonic()
        if name not in self._engines:
            self._engines.setdefault(name, Engine((await self._held(name)).path))
        return self._engines[name]

    async def _held(self, name: str) -> Folder:
        """Raises MODEL_NOT_FOUND."""
        folder = (await asyncio.to_thread(self._folders)).get(name)
        if folder is None:
            raise MeshError(Reason.MODEL_NOT_FOUND, f"Model {name[:128]!r} is here no longer.")
        return folder

    def _is_up(self, name: str) -> bool:
        engine = self._engines.get(name)
        return engine is not None and engine.is_up

    def _folders(self) -> dict[str, Folder]:
        if self._store is not None:
            found = {
                each.about.name: Folder(each.weights.parent, each.about.license, each.about.source)
                for each in self._store.models(FORMAT)
            }
        elif self.config.path is not None and (self.config.path / WEIGHTS).is_file():
            found = {self.config.model_name or self.config.path.name: Folder(self.config.path)}
        else:
            found = {}
        allowed = self.config.models
        return {name: folder for name, folder in found.items() if not allowed or name in allowed}

    def _offer(self, name: str, folder: Folder) -> Offer:
        does = self.config.operations or (DOES[:1] if folder.english_only else DOES)
        model = model_pb2.Model(
            id=name,
            operations=operations_named(does),
            parameters=told_of(operations_named(does), english_only=folder.english_only),
            owner="nexus",
            loaded=self._is_up(name),
            license=folder.license,
            source=folder.source,
        )
        return Offer(model, name, size=(folder.path / WEIGHTS).stat().st_size)

    async def _sweep(self) -> None:
        """Lets models go that nobody has used for a while."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for name, engine in list(self._engines.items()):
                idle = time.monotonic() - self._used.get(name, 0.0)
                if engine.is_up and not engine.is_busy and idle > IDLE_SECONDS:
                    await engine.close()


@cache
def _knows_english_only(folder: Path) -> bool:
    try:
        with (folder / "vocabulary.txt").open("rb") as file:
            return sum(1 for _ in file) <= ENGLISH_WORDS
    except OSError:
        return folder.name.endswith(".en")


def _order(work: Work, *, english_only: bool) -> JsonObject:
    """What the recogniser is told. Raises INVALID_REQUEST."""
    body = work.body
    vad = body.get("chunking_strategy")
    return {
        "task": TASKS[work.operation],
        "language": code_of(body.get("language"), english_only=english_only),
        "prompt": body.get("prompt") or "",
        "keywords": ", ".join(body.get("keywords") or ()),
        "temperature": float(body.get("temperature") or 0.0),
        "words": "word" in (body.get("timestamp_granularities") or ()),
        "vad": _voice_activity(vad if isinstance(vad, dict) else {}),
    }


def _voice_activity(given: JsonObject) -> JsonObject:
    """OpenAI's names of how a voice is told from silence -> Silero's."""
    names = {
        "threshold": "threshold",
        "prefix_padding_ms": "speech_pad_ms",
        "silence_duration_ms": "min_silence_duration_ms",
    }
    found: JsonObject = {}
    for name, ours in names.items():
        value = given.get(name)
        if value is None:
            continue
        if type(value) not in (int, float) or not 0 <= value <= (1 if name == "threshold" else 60_000):
            raise MeshError(
                Reason.INVALID_REQUEST,
                f"'chunking_strategy.{name}' must be a number within its bounds.",
                metadata={"code": "invalid_value", "param": f"chunking_strategy.{name}"},
            )
        found[ours] = value
    return found


def _heard(transcript: Transcript, told: JsonObject, work: Work) -> Event | None:
    """What one line of the recogniser is to whoever asked."""
    match told["kind"]:
        case "begun":
            transcript.language = LANGUAGES.get(told["language"]) or told["language"]
        case "segment":
            transcript.segments.append(told)
            if work.stream:
                return [delta(told["text"] if len(transcript.segments) > 1 else told["text"].lstrip())]
            return _at(told["end"], transcript)
        case "heard":
            return _at(told["seconds"], transcript)
        case "alive":
            last = transcript.segments[-1]["end"] if transcript.segments else 0.0
            return _at(last, transcript)
        case _:
            pass
    return None


def _at(seconds: float, transcript: Transcript) -> Progress:
    return Progress("hearing", int(seconds), int(transcript.duration), "seconds")
