"""The backends of this process: which there are, who finds them, and what the registry is told of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import aiohttp
from nexus.registry.v1 import instance_pb2
from nexus_mesh import telemetry
from nexus_mesh.errors import MeshError, Reason
from nexus_mesh.registration import StatusBoard

from nexus_inference_adapters.backend import Backend
from nexus_inference_adapters.config import AdapterSettings, BackendConfig
from nexus_inference_adapters.http import Http, open_session
from nexus_inference_adapters.kinds import ADAPTERS

__all__ = ["Host"]

log = telemetry.logger("host")


class Host:
    """Holds the backends and their watchers; an async context manager."""

    def __init__(self, settings: AdapterSettings, board: StatusBoard) -> None:
        self.settings = settings
        self._board = board
        self._backends: dict[str, Backend] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = await self._stack.enter_async_context(open_session())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for name in tuple(self._backends):
            await self.drop(name)
        await self._stack.aclose()

    @property
    def backends(self) -> Iterable[Backend]:
        """By name."""
        return [self._backends[name] for name in sorted(self._backends)]

    def find(self, name: str) -> Backend:
        """The backend of a name. Raises INVALID_REQUEST without one, BACKEND_DOWN when there is none any more."""
        if name not in self._backends:
            if not name:
                raise MeshError(
                    Reason.INVALID_REQUEST,
                    "The envelope must name the backend.",
                    metadata={"param": "backend"},
                )
            raise MeshError(Reason.BACKEND_DOWN, f"There is no backend {name[:64]!r} here any more.")
        return self._backends[name]

    def add(self, config: BackendConfig) -> Backend:
        """Serves a backend from now on. Its first inspection follows at once."""
        assert self._session is not None  # noqa: S101 - used inside its context only
        http = Http(self._session, config.url or "", config.api_key, self.settings.timeouts.connect)
        adapter = ADAPTERS[config.kind](config, http)
        backend = Backend(config, adapter, self.settings.timeouts_of, self._publish)
        self._backends[config.name] = backend
        watcher = asyncio.create_task(backend.watch(), name=f"watch {config.name}")
        watcher.add_done_callback(_report_death)
        self._watchers[config.name] = watcher
        self._publish()
        return backend

    async def drop(self, name: str) -> None:
        """Serves a backend no longer; requests that run go on to their end."""
        backend, watcher = self._backends.pop(name), self._watchers.pop(name)
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
        await backend.close()
        self._publish()

    def _publish(self) -> None:
        status = instance_pb2.Status()
        status.CopyFrom(self._board.get())
        del status.backends[:]
        status.backends.extend(backend.describe() for backend in self.backends)
        self._board.set(status)


def _report_death(watcher: asyncio.Task[None]) -> None:
    if not watcher.cancelled() and (error := watcher.exception()) is not None:
        log.error("watcher died", task=watcher.get_name(), exc_info=error)
