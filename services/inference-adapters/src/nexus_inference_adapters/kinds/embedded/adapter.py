"""The engine in the box: the file of the settings, or the models that were pulled, each in a process of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import ClassVar

from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import memory_pb2, model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract import (
    ABILITIES,
    Adapter,
    Completed,
    Count,
    Event,
    Http,
    Inspection,
    Need,
    Offer,
    Patience,
    Progress,
    Work,
)
from nexus_inference_adapters.gguf import GgufFacts, read_gguf
from nexus_inference_adapters.kinds.embedded.engine import SLOTS, Engine, does
from nexus_inference_adapters.kinds.embedded.sizing import PART, SMALL_PART
from nexus_inference_adapters.store import Sampling, Store, Stored
from nexus_inference_adapters.vocabulary import capabilities_named, operations_named

__all__ = ["Embedded"]

POLL_SECONDS = 0.1
BEFORE_LOADING = ("json", "logprobs", "choices", "tool_choice", "token_input")
"""What llama.cpp does with every model that writes; what a model adds to it is known once it is loaded."""


class Embedded(Adapter):
    """Without a `store` one engine serves `path`, or the model that comes with NEXUS, all the time.

    With one it serves what was pulled, and the real model in the box where it is installed: a model is loaded by its
    first request and stays until it is unloaded. The small trained one stands in for as long as there is nothing else.
    """

    kind: ClassVar[str] = "embedded"
    needs: ClassVar[Need] = "path"
    instead: ClassVar[str] = (
        "Its model is in memory as long as it is served: change `path` of its [[backends]], or leave it out."
    )

    def __init__(self, config: BackendConfig, http: Http) -> None:
        super().__init__(config, http)
        self._store = None if config.store is None else Store(config.store, builtin=config.builtin)
        self.abilities = frozenset() if self._store is None else frozenset(ABILITIES)
        self._own: Engine | None = None
        """For the file of the settings, or the model that comes with NEXUS."""
        self._loaded: dict[str, Engine] = {}
        self._facts: dict[str, GgufFacts] = {}
        self._busy: Counter[str] = Counter()
        """Requests that run, by model."""
        self._changing = asyncio.Lock()

    async def open(self) -> None:
        stored = await self._stored()
        if not stored:
            self._own = self._engine(self.config)
            await self._own.open()
        elif len(stored) == 1 and not any(model.pulled for model in stored.values()):
            await self._opened(*stored)  # what a new mesh is asked first

    async def close(self) -> None:
        engines = [*self._loaded.values(), *([] if self._own is None else [self._own])]
        await asyncio.gather(*(engine.close() for engine in engines))

    async def inspect(self) -> Inspection:
        stored = await self._stored()
        if not stored:
            if self._own is None:  # the last one was deleted
                await self.open()
            return await self._own.inspect() if self._own else Inspection(instance_pb2.STATE_STARTING)
        if self._own is not None and not any(self._busy[name] for name in self._busy if name not in stored):
            own, self._own = self._own, None
            await own.close()
        offers = list[Offer]()
        problems = [
            engine.broken for name, engine in self._loaded.items() if name in stored and engine.broken
        ]
        all_broken = len(problems) == len(stored)
        for model in stored.values():
            try:
                offers.append(await self._offer(model))
            except (OSError, ValueError) as error:
                told = error.strerror if isinstance(error, OSError) else error
                problems.append(f"{model.about.name} cannot be served: {told}.")
        resident = {name: stored[name].about.size for name in self._loaded if name in stored}
        capacity = self.config.max_concurrency or SLOTS
        state = instance_pb2.STATE_ACTIVE if offers and not all_broken else instance_pb2.STATE_UNHEALTHY
        return Inspection(state, " ".join(problems), offers, capacity, resident)

    async def count(self, work: Work) -> Count | None:
        engine = self._loaded.get(work.model, self._own)
        return None if engine is None else await engine.count(work)

    async def complete(self, work: Work, patience: Patience) -> Completed:
        with self._at_work(work.model):
            engine = await self._ready(work.model, patience)
            return await engine.complete(work, patience)

    async def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        with self._at_work(work.model):
            engine = await self._ready(work.model, patience)
            async with aclosing(engine.stream(work, patience)) as events:
                async for event in events:
                    yield event

    async def load(self, offer: Offer, keep_alive: int | None, patience: Patience) -> int:  # noqa: ARG002
        await self._ready(offer.name, patience)
        return offer.size

    async def unload(self, offer: Offer, patience: Patience) -> None:
        if self._busy[offer.name]:
            raise MeshError(Reason.OVERLOAD, "Requests run on this model: unload it when they are done.")
        async with self._changing:
            engine = self._loaded.pop(offer.name, None)
            if engine is not None:
                await patience.wait(engine.close())

    async def pull(self, model: str, patience: Patience) -> AsyncGenerator[Progress, None]:
        if self._store is None:
            raise self.unable(memory_pb2.ABILITY_PULL)
        async with aclosing(self._store.pull(model, patience)) as steps:
            async for step in steps:
                yield step

    async def delete(self, offer: Offer) -> None:
        stored = (await self._stored()).get(offer.name)
        if self._store is None or stored is None or not stored.pulled:
            raise MeshError(
                Reason.CAPABILITY_MISSING,
                f"Model {offer.model.id!r} was not pulled, so it is not deleted: it comes with NEXUS.",
                metadata={"param": "model"},
            )
        async with self._changing:
            if (engine := self._loaded.pop(offer.name, None)) is not None:
                await engine.close()
            await asyncio.to_thread(self._store.remove, offer.name)

    def _engine(self, config: BackendConfig, sampling: Sampling | None = None, part: int = PART) -> Engine:
        engine = Engine(config, self.http, sampling, part)
        engine.learned = self.learned
        return engine

    async def _stored(self) -> dict[str, Stored]:
        if self._store is None:
            return {}
        models = await asyncio.to_thread(self._store.models)
        allowed = self.config.models
        return {model.about.name: model for model in models if not allowed or model.about.name in allowed}

    async def _ready(self, name: str, patience: Patience) -> Engine:
        """The engine of a model, once it can be used. Raises what it says when it can't be loaded."""
        if self._own is not None and name not in self._loaded and name not in await self._stored():
            return self._own
        engine = self._loaded.get(name) or await self._opened(name)
        while (
            not engine.is_up
            and (seen := await patience.wait(engine.inspect())).state != instance_pb2.STATE_ACTIVE
        ):
            if seen.state == instance_pb2.STATE_UNHEALTHY:
                if self._loaded.get(name) is engine:
                    del self._loaded[name]
                await engine.close()
                raise MeshError(Reason.UPSTREAM_ERROR, seen.reason)
            await patience.wait(asyncio.sleep(POLL_SECONDS))
        return engine

    async def _opened(self, name: str) -> Engine:
        async with self._changing:
            if (engine := self._loaded.get(name)) is not None:
                return engine
            stored = (await self._stored()).get(name)
            if stored is None:
                raise MeshError(Reason.MODEL_NOT_FOUND, f"Model {name[:128]!r} is here no longer.")
            own = {"path": stored.weights, "model_name": name, "store": None, "models": ()}
            engine = self._loaded[name] = self._engine(
                self.config.model_copy(update=own), stored.sampling, PART if stored.pulled else SMALL_PART
            )
            await engine.open()
            return engine

    async def _offer(self, stored: Stored) -> Offer:
        """As its engine tells, or as far as its file does while it is not loaded."""
        name = stored.about.name
        if name not in self._facts:
            self._facts[name] = await asyncio.to_thread(read_gguf, stored.weights)
        facts, config = self._facts[name], self.config
        if (engine := self._loaded.get(name)) is not None:
            with suppress(MeshError):  # it was just started, or is being started again
                for offer in (await engine.inspect()).offers:
                    if facts.embeds:
                        del offer.model.capabilities[:]  # all of them are about writing
                    offer.model.license, offer.model.source = stored.about.license, stored.about.source
                    return Offer(offer.model, offer.name, offer.aliases, stored.about.size)
        said = config.capabilities if config.capabilities is not None else BEFORE_LOADING
        model = model_pb2.Model(
            id=name,
            operations=operations_named(does(config, facts)),
            capabilities=capabilities_named(() if facts.embeds else said),
            context_tokens=config.context_tokens or facts.context_tokens,
            owner="nexus",
            loaded=engine is not None,
            license=stored.about.license,
            source=stored.about.source,
        )
        return Offer(model, name, size=stored.about.size)

    @contextmanager
    def _at_work(self, model: str) -> Iterator[None]:
        self._busy[model] += 1
        try:
            yield
        finally:
            self._busy[model] -= 1
