"""When to compile, and who is told: changes in quick succession become one snapshot, the newest wins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from nexus.registry.v1 import instance_pb2 as registry
from nexus.router.v1.snapshot_pb2 import Snapshot
from nexus_mesh.core import MeshError, Reason

from nexus_router.metrics import SNAPSHOTS, TARGETS, WATCHERS

COALESCE_SECONDS = 0.02
LOAD_INTERVAL_SECONDS = 1.0


class Publisher:
    """`compile_now` makes a snapshot without version, and says when (loop time) to make it again anyhow."""

    def __init__(self, compile_now: Callable[[], tuple[Snapshot, float | None]]) -> None:
        self._compile = compile_now
        self._newest: Snapshot | None = None
        self._published = asyncio.Event()
        self._touched = asyncio.Event()
        self._urgent = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def newest(self) -> Snapshot:
        """Raises NOT_READY before the first snapshot."""
        if self._newest is None:
            raise MeshError(
                Reason.NOT_READY,
                "The router has not heard from the registry yet: try again in a moment.",
                retry_after=1.0,
            )
        return self._newest

    def touch(self, *, urgent: bool) -> None:
        """Something changed. Only load: told within a second; anything else: at once."""
        self._touched.set()
        if urgent:
            self._urgent.set()

    async def run(self) -> None:
        """Endless: compiles and publishes after each touch."""
        loop = asyncio.get_running_loop()
        last = loop.time() - LOAD_INTERVAL_SECONDS
        while True:
            await self._touched.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(last + LOAD_INTERVAL_SECONDS):
                    await self._urgent.wait()
            await asyncio.sleep(COALESCE_SECONDS)
            self._touched.clear()
            self._urgent.clear()
            last = loop.time()
            self._publish()

    async def watch(self) -> AsyncIterator[Snapshot]:
        """The newest snapshot, then each newer one; slow readers miss those in between. Raises NOT_READY."""
        seen: Snapshot | None = None
        with WATCHERS.track_inprogress():
            while True:
                snapshot, published = self.newest, self._published
                if snapshot is seen:
                    await published.wait()
                else:
                    seen = snapshot
                    yield snapshot

    def _publish(self) -> None:
        snapshot, again = self._compile()
        self._arm(again)
        before = self._newest or Snapshot()
        snapshot.version = before.version
        snapshot.create_time.CopyFrom(before.create_time)
        if snapshot == self._newest:
            return
        snapshot.version += 1
        snapshot.create_time.GetCurrentTime()
        self._newest = snapshot
        _count(snapshot)
        published, self._published = self._published, asyncio.Event()
        published.set()

    def _arm(self, again: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if again is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(again, lambda: self.touch(urgent=True))


def _count(snapshot: Snapshot) -> None:
    usable = sum(target.state == registry.STATE_ACTIVE for target in snapshot.targets)
    TARGETS.labels("yes").set(usable)
    TARGETS.labels("no").set(len(snapshot.targets) - usable)
    SNAPSHOTS.inc()
