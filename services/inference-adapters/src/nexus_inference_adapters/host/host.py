"""The backends of this process: which there are, who finds them, and what the registry is told of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from functools import lru_cache, partial
from types import TracebackType
from typing import Self

import aiohttp
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import memory_pb2
from nexus_mesh.core import telemetry
from nexus_mesh.process import StatusBoard
from nexus_mesh.rows import fitted

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.config import AdapterSettings
from nexus_inference_adapters.contract import Adapter, Http, key_in, open_session
from nexus_inference_adapters.host.backend import Backend, Backends
from nexus_inference_adapters.host.guessing import Guesses
from nexus_inference_adapters.host.memory.devices import describe, device_of, devices_of
from nexus_inference_adapters.host.memory.ledger import MemoryLedger
from nexus_inference_adapters.host.memory.manager import MemoryManager
from nexus_inference_adapters.host.memory.residency import Residency
from nexus_inference_adapters.host.memory.types import Key, Rules
from nexus_inference_adapters.kinds import ADAPTERS

__all__ = ["Host"]

log = telemetry.logger("host")


class Host:
    """Holds the backends, their watchers and the ledgers of their devices; an async context manager."""

    def __init__(self, settings: AdapterSettings, board: StatusBoard) -> None:
        self.settings = settings
        self._board = board
        files = {name: model.tokenizer for name, model in settings.models.items() if model.tokenizer}
        self._guesses = Guesses(files)
        self._timeouts = lru_cache(maxsize=1024)(settings.timeouts_of)
        self.named = Backends()
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None
        rules = Rules(settings.min_residency, settings.idle_unload)
        self._ledgers = {device: MemoryLedger(device, rules) for device in devices_of(settings)}
        self._manager = MemoryManager(list(self._ledgers.values()), self, self._publish)

    async def __aenter__(self) -> Self:
        self._session = await self._stack.enter_async_context(open_session())
        if self._ledgers:
            ticking = asyncio.create_task(self._manager.run(), name="memory")
            ticking.add_done_callback(_report_death)
            self._stack.callback(ticking.cancel)
        self._stack.push_async_callback(self._manager.close)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for name in tuple(self.named):
            await self.drop(name)
        await self._stack.aclose()

    @property
    def backends(self) -> Iterable[Backend]:
        """By name."""
        return [self.named[name] for name in sorted(self.named)]

    def add(self, config: BackendConfig) -> Backend:
        """Serves a backend from now on. Its first inspection follows at once."""
        assert self._session is not None  # noqa: S101 - used inside its context only
        http = Http(
            self._session,
            config.url or "",
            partial(key_in, config.api_key_env),
            self.settings.timeouts.connect,
        )
        adapter = ADAPTERS[config.kind](config, http)
        residency = self._residency(config, adapter)
        backend = Backend(config, adapter, self._timeouts, self._guesses.guess, self._publish, residency)
        self.named[config.name] = backend
        watcher = asyncio.create_task(backend.watch(), name=f"watch {config.name}")
        watcher.add_done_callback(_report_death)
        self._watchers[config.name] = watcher
        self._publish()
        return backend

    async def look_around(self, patience: float) -> None:
        """Waits until every backend has been looked at once, at most `patience` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await asyncio.gather(*(backend.looked_at.wait() for backend in self.backends))

    async def drop(self, name: str) -> None:
        """Serves a backend no longer; requests that run go on to their end."""
        backend, watcher = self.named.pop(name), self._watchers.pop(name)
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
        await backend.close()
        self._publish()

    async def load(self, key: Key) -> int:
        """Has an engine load a model, for the memory manager."""
        backend = self.named[key.backend]
        return await backend.load(backend.offer(key.model))

    async def unload(self, key: Key) -> None:
        """Has an engine unload a model, for the memory manager."""
        backend = self.named[key.backend]
        await backend.unload(backend.offer(key.model))

    def devices(self) -> list[memory_pb2.Device]:
        """The devices that backends of this process are on, by name."""
        on: dict[str, list[str]] = {}
        for backend in self.named.values():
            if backend.residency is not None:
                on.setdefault(backend.residency.ledger.device.name, []).append(backend.config.name)
        ledgers = {device.name: ledger for device, ledger in self._ledgers.items()}
        return [describe(ledgers[name], on[name]) for name in sorted(on)]

    def _residency(self, config: BackendConfig, adapter: Adapter) -> Residency | None:
        device = device_of(config, tuple(self._ledgers))
        if device is None:
            return None
        return Residency(
            self._manager,
            self._ledgers[device],
            config.name,
            self.settings.memory_of,
            self.settings.prewarm,
            loads=memory_pb2.ABILITY_LOAD in adapter.abilities,
            unloads=memory_pb2.ABILITY_UNLOAD in adapter.abilities,
        )

    def _publish(self) -> None:
        status = instance_pb2.Status()
        status.CopyFrom(self._board.get())
        del status.left_out[:]
        del status.backends[:]
        # Named ones first: when there are too many, those that were only found are left out.
        named_first = sorted(self.backends, key=lambda backend: backend.config.origin == "discovery")
        status.backends.extend(backend.describe() for backend in named_first)
        del status.devices[:]
        status.devices.extend(self.devices())
        self._board.set(fitted(status))


def _report_death(watcher: asyncio.Task[None]) -> None:
    if not watcher.cancelled() and (error := watcher.exception()) is not None:
        log.error("watcher died", task=watcher.get_name(), exc_info=error)
