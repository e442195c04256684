"""Does what the ledgers say: has engines load and unload, and lets waiting requests go when their model is there."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

from nexus_mesh.core import MeshError, Reason, telemetry

from nexus_inference_adapters.host.memory.ledger import MemoryLedger
from nexus_inference_adapters.host.memory.types import Key, State

__all__ = ["NEVER_SECONDS", "Engines", "MemoryManager"]

TICK_SECONDS = 0.5
NEVER_SECONDS = 86_400.0
"""What is told of a wait whose end nobody can foresee: long enough that nobody waits."""

log = telemetry.logger("memory")


class Engines(Protocol):
    """Whoever can reach the engines behind the keys."""

    async def load(self, key: Key) -> int:
        """Brings a model into memory; the bytes it takes there, 0 = not told. Raises MeshError."""
        ...

    async def unload(self, key: Key) -> None:
        """Returns when the memory is free. Raises MeshError."""
        ...


class MemoryManager:
    """Keeps the ledgers of all devices. `changed` is called when a model came into memory or left it."""

    def __init__(
        self, ledgers: Sequence[MemoryLedger], engines: Engines, changed: Callable[[], None]
    ) -> None:
        self.ledgers = ledgers
        self.clock = time.monotonic
        self._engines = engines
        self._changed = changed
        self._waiting: dict[Key, list[asyncio.Future[None]]] = defaultdict(list)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Endless: what becomes due without anybody asking."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for ledger in self.ledgers:
                self.stir(ledger)

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait(self, ledger: MemoryLedger, key: Key, size: int, seconds: float) -> None:
        """Waits until the model may be used, and takes it into use. Raises OVERLOAD, or why it cannot be loaded."""
        if ledger.turn(key, size, self.clock()) > seconds:
            raise self._no_room(ledger, key, ledger.eta(key, size, self.clock()))
        ledger.wait(key, size, self.clock())
        turn = asyncio.get_running_loop().create_future()
        self._waiting[key].append(turn)
        self.stir(ledger)
        try:
            async with asyncio.timeout(seconds):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            self._give_up(ledger, key, turn)
            if isinstance(error, TimeoutError):
                raise self._no_room(ledger, key, ledger.eta(key, size, self.clock())) from None
            raise

    def stir(self, ledger: MemoryLedger) -> None:
        """Does what is due now."""
        moves = ledger.advance(self.clock())
        for key in moves.unload:
            self.unload(ledger, key)
        for key in moves.load:
            self.load(ledger, key)
        for key in moves.admit:
            for turn in self._waiting.pop(key, ()):
                if turn.done():
                    ledger.leave(key, self.clock())  # it gave up, and has not come to say so yet
                else:
                    turn.set_result(None)

    def load(self, ledger: MemoryLedger, key: Key) -> asyncio.Task[None]:
        """Loads what has been reserved. It goes on though nobody may wait for it any longer."""
        return self._spawn(self._load(ledger, key))

    def unload(self, ledger: MemoryLedger, key: Key) -> asyncio.Task[None]:
        """Unloads what the ledger calls unloading. The task raises MeshError when that fails."""
        return self._spawn(self._unload(ledger, key))

    async def _unload(self, ledger: MemoryLedger, key: Key) -> None:
        log.info("unloading", device=ledger.device.name, backend=key.backend, model=key.model)
        try:
            await self._engines.unload(key)
        except MeshError as error:
            # Of an engine that is not there, nothing is in memory.
            dead = error.reason is Reason.BACKEND_DOWN
            (ledger.gone if dead else ledger.stayed)(key, self.clock())
            log.warning("not unloaded", backend=key.backend, model=key.model, detail=error.message)
            if not dead:
                raise
        except Exception:
            ledger.stayed(key, self.clock())
            raise
        else:
            ledger.gone(key, self.clock())
        finally:
            self.stir(ledger)
            self._changed()

    async def _load(self, ledger: MemoryLedger, key: Key) -> None:
        log.info("loading", device=ledger.device.name, backend=key.backend, model=key.model)
        self._changed()
        try:
            size = await self._engines.load(key)
        except MeshError as error:
            self._fail(ledger, key, error)
        except Exception:
            log.exception("load failed", backend=key.backend, model=key.model)
            self._fail(ledger, key, MeshError(Reason.INTERNAL, f"Loading model {key.model!r} failed."))
        else:
            ledger.ready(key, self.clock(), size)
        self.stir(ledger)
        self._changed()

    def _fail(self, ledger: MemoryLedger, key: Key, error: MeshError) -> None:
        log.warning("not loaded", backend=key.backend, model=key.model, detail=error.message)
        ledger.failed(key, self.clock())
        for turn in self._waiting.pop(key, ()):
            if not turn.done():
                turn.set_exception(error)

    def _give_up(self, ledger: MemoryLedger, key: Key, turn: asyncio.Future[None]) -> None:
        if turn in self._waiting[key]:
            self._waiting[key].remove(turn)
            ledger.give_up(key, self.clock())
        elif not turn.cancelled() and turn.exception() is None:
            ledger.leave(key, self.clock())  # its turn came at the very moment it gave up
        if not self._waiting[key]:
            del self._waiting[key]
        self.stir(ledger)

    def _no_room(self, ledger: MemoryLedger, key: Key, eta: float) -> MeshError:
        device, seconds = ledger.device.name, math.ceil(min(eta, NEVER_SECONDS))
        loading = key in ledger.holds and ledger.holds[key].state is State.LOADING
        what = "is still being loaded" if loading else f"has to wait for memory of {device}"
        when = (
            f"It should be ready in about {seconds} s."
            if eta < NEVER_SECONDS
            else f"What else is in memory of {device} cannot be unloaded; `nexus status` shows what that is."
        )
        return MeshError(
            Reason.OVERLOAD,
            f"Model {key.model!r} {what}. {when}",
            metadata={"eta_seconds": str(seconds)},
            retry_after=max(1.0, min(eta, NEVER_SECONDS)),
        )

    def _spawn(self, coroutine: Coroutine[object, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, MeshError):
            log.error("memory task died", exc_info=error)
