"""Engines that share one card: what they have in memory together, as an onlooker sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from nexus_inference_adapters.config import GIB, DeviceConfig, ModelSettings
from nexus_inference_adapters.host.backend import Backend
from support.adapter_host import Bench, adapter_bench
from support.fake_ollama import FakeOllama
from support.fake_ollama_models import OllamaModel

MODELS = {"a": 14, "b": 10, "c": 9}
"""Gigabytes in memory; "a" and "c" are the first engine's, "b" the second's."""


@dataclass
class SharedCard:
    """`most` is the most memory, in bytes, that models ever had at one time."""

    bench: Bench
    one: FakeOllama
    two: FakeOllama
    most: int = 0

    async def serve(self) -> tuple[Backend, Backend]:
        """Both engines' backends, looked at."""
        first = await self.bench.serve("ollama", self.one.url, name="one")
        return first, await self.bench.serve("ollama", self.two.url, name="two")

    def look(self) -> None:
        loaded = [entry.model for fake in (self.one, self.two) for entry in fake.engine.loaded]
        self.most = max(self.most, sum(model.size for model in loaded))

    @property
    def loaded(self) -> set[str]:
        return {
            entry.model.name.partition(":")[0]
            for fake in (self.one, self.two)
            for entry in fake.engine.loaded
        }


def models(*names: str) -> list[OllamaModel]:
    return [OllamaModel(f"{name}:latest", size=MODELS[name] * GIB) for name in names]


@asynccontextmanager
async def shared_card(
    *,
    min_residency: float = 0.0,
    prewarm: tuple[str, ...] = (),
    idle_unload: float = 900.0,
    **timeouts: float,
) -> AsyncIterator[SharedCard]:
    """Two engines for one host, on a card of 24 GB. What their models take of it is told, not guessed."""
    settings = {
        "devices": (DeviceConfig(name="gpu0", memory_gb=24, headroom_gb=0),),
        "min_residency": min_residency,
        "idle_unload": idle_unload,
        "prewarm": prewarm,
        "models": {f"{name}:latest": ModelSettings(memory_gb=size) for name, size in MODELS.items()},
    }
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(FakeOllama(models("a", "c")))
        two = await stack.enter_async_context(FakeOllama(models("b")))
        bench = await stack.enter_async_context(adapter_bench(settings, **timeouts))
        card = SharedCard(bench, one, two)
        for fake in (one, two):
            fake.engine.on_load = card.look
        yield card
