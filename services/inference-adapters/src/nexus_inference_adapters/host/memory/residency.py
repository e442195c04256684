"""One backend's part of a device: how large its models are, and a place in memory for each request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from types import TracebackType

from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.contract import Gate, Inspection, Offer
from nexus_inference_adapters.host.memory.ledger import MemoryLedger
from nexus_inference_adapters.host.memory.manager import MemoryManager
from nexus_inference_adapters.host.memory.types import Key, State

__all__ = ["Place", "Residency"]

CONTEXT_FACTOR = 1.2
"""A file holds the weights; in memory there is the context besides."""
STAY_SECONDS = 60
"""The engine keeps a model for so much longer than the ledger does: should we be gone, it cleans up by itself."""
FOREVER = -1


class Residency:
    """`told` gives the size the operator told of a model, 0 = none. `wanted`: the models to keep in memory."""

    def __init__(
        self,
        manager: MemoryManager,
        ledger: MemoryLedger,
        backend: str,
        told: Callable[[str], int],
        wanted: Collection[str],
        *,
        loads: bool,
        unloads: bool,
    ) -> None:
        self.ledger = ledger
        self.loads = loads
        self._manager = manager
        self._backend = backend
        self._told = told
        self._wanted = wanted
        self._unloads = unloads
        self._seen: dict[str, int] = {}

    def place(self, offer: Offer, gate: Gate | None, seconds: float) -> Place:
        """Memory for the model, waited for at most `seconds`, then a place at the gate if there is one."""
        return Place(self._manager, self.ledger, self._key(offer), self.size_of(offer), gate, seconds)

    def stay(self, offer: Offer) -> int:
        """Seconds the engine shall keep the model after a request; negative = for ever."""
        idle = self.ledger.rules.idle_unload
        return FOREVER if self._is_wanted(offer) or not idle else round(idle) + STAY_SECONDS

    def size_of(self, offer: Offer) -> int:
        """What the model takes: as seen in memory, else as told, else after its file, else all there is.

        An engine splits what is larger than the device between it and main memory; so it has the device to itself.
        """
        capacity = self.ledger.device.capacity
        size = self._seen.get(offer.name) or self._told(offer.model.id) or round(offer.size * CONTEXT_FACTOR)
        return min(size or capacity, capacity)

    def held(self, offer: Offer) -> int:
        """Bytes reserved for the model."""
        hold = self.ledger.holds.get(self._key(offer))
        return hold.size if hold is not None else 0

    def observe(self, inspection: Inspection, as_of: float) -> None:
        """Takes in what a look that began at `as_of` showed, and loads what is wanted where there is room."""
        found = inspection.resident
        if found is None:
            loaded = [offer for offer in inspection.offers if offer.model.loaded and not offer.model.remote]
            found = {offer.name: self._told(offer.model.id) for offer in loaded}
        else:
            self._seen |= {name: size for name, size in found.items() if size}
        now = self._manager.clock()
        offered = {offer.name for offer in inspection.offers} if self._unloads else set()
        self.ledger.observe(self._backend, found, as_of, now, pinned=found.keys() - offered)
        for offer in inspection.offers if self.loads else ():
            if self._is_wanted(offer) and self.ledger.prewarm(self._key(offer), self.size_of(offer), now):
                self._manager.load(self.ledger, self._key(offer))
        self._manager.stir(self.ledger)

    def forget(self) -> None:
        """The engine is not there: nothing of it is in memory but for what still ends."""
        now = self._manager.clock()
        self.ledger.observe(self._backend, {}, now, now)
        self._manager.stir(self.ledger)

    async def take_out(self, offer: Offer) -> bool:
        """Unloads a model; False when none of it is in the ledger. Raises OVERLOAD while it is in use."""
        key, now = self._key(offer), self._manager.clock()
        hold = self.ledger.holds.get(key)
        if hold is None:
            return False
        if not self.ledger.take_out(key, now):
            raise _in_use(offer, hold.users, hold.state is State.READY)
        await asyncio.shield(self._manager.unload(self.ledger, key))
        return True

    def _key(self, offer: Offer) -> Key:
        return Key(self._backend, offer.name)

    def _is_wanted(self, offer: Offer) -> bool:
        return any(name in self._wanted for name in (offer.model.id, *offer.aliases))


class Place:
    """A context of one request; entering tells whether the model had to be waited for. Raises OVERLOAD."""

    __slots__ = ("_gate", "_key", "_ledger", "_manager", "_seconds", "_size", "_started")

    def __init__(
        self,
        manager: MemoryManager,
        ledger: MemoryLedger,
        key: Key,
        size: int,
        gate: Gate | None,
        seconds: float,
    ) -> None:
        self._manager = manager
        self._ledger = ledger
        self._key = key
        self._size = size
        self._gate = gate
        self._seconds = seconds
        self._started = 0.0

    async def __aenter__(self) -> bool:
        self._started = self._manager.clock()
        waited = not self._ledger.enter(self._key, self._started)
        if waited:
            await self._manager.wait(self._ledger, self._key, self._size, self._seconds)
            self._started = self._manager.clock()
        try:
            if self._gate is not None:
                await self._gate.__aenter__()
        except BaseException:
            self._leave()
            raise
        return waited

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._gate is not None:
            await self._gate.__aexit__(kind, error, at)
        self._leave()

    def _leave(self) -> None:
        now = self._manager.clock()
        if self._ledger.leave(self._key, now, now - self._started):
            self._manager.stir(self._ledger)


def _in_use(offer: Offer, users: int, ready: bool) -> MeshError:
    why = (
        f"{users} requests run on it"
        if users
        else "it cannot be unloaded"
        if ready
        else "it is being loaded or unloaded"
    )
    return MeshError(
        Reason.OVERLOAD,
        f"Model {offer.model.id!r} stays in memory, for {why}. Try again later.",
        retry_after=5.0,
    )
