"""Two engines share one card of 24 GB, and want more of it in turns than it has. The clock is simulated.

python -m bench.tenants
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from nexus_inference_adapters.host.memory.ledger import MemoryLedger
from nexus_inference_adapters.host.memory.types import Device, Key, Moves, Rules, State

__all__ = ["TENANTS", "Simulation", "Tenant", "figures"]

GB = 2**30
CARD = 24 * GB
RESIDENCY = 60.0
TICK_SECONDS = 0.5
LOAD_BYTES_PER_SECOND = 2 * GB
UNLOAD_SECONDS = 0.5
PATIENCE = 600.0
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Tenant:
    """Somebody with one model. Pauses and requests take so many seconds on average."""

    name: str
    backend: str
    size: int
    pause: float
    request: float

    @property
    def key(self) -> Key:
        return Key(self.backend, self.name)


TENANTS = (
    Tenant("a-14", "ollama", 14 * GB, 2, 3),
    Tenant("b-10", "comfy", 10 * GB, 3, 5),
    Tenant("c-9", "ollama", 9 * GB, 1, 2),
)


@dataclass(slots=True)
class Simulation:
    """Runs tenants against a card, and notes what it sees. Times are simulated seconds."""

    ledger: MemoryLedger = field(default_factory=lambda: MemoryLedger(Device("gpu0", CARD), Rules(RESIDENCY)))
    seed: int = 0
    now: float = 0.0
    swaps: list[float] = field(default_factory=list)
    most_reserved: int = 0
    taken_in_use: int = 0
    served: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    given_up: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)
    _waiting: dict[Key, list[tuple[Tenant, float]]] = field(default_factory=lambda: defaultdict(list))
    _random: Random = field(default_factory=Random)

    def run(self, tenants: Sequence[Tenant], seconds: float, *, prewarm: Sequence[Tenant] = ()) -> None:
        """Everybody asks, waits for the answer, pauses and asks again."""
        self._random = Random(self.seed)
        for tenant in tenants:
            self._after(0.0, lambda tenant=tenant: self._ask(tenant))
        self._after(0.0, lambda: self._tick(prewarm))
        while self._events and self._events[0][0] <= seconds:
            self.now, _, event = heapq.heappop(self._events)
            event()
            self._look()

    def _tick(self, prewarm: Sequence[Tenant]) -> None:
        for tenant in prewarm:
            if self.ledger.prewarm(tenant.key, tenant.size, self.now):
                self._load(tenant.key)
        self._after(TICK_SECONDS, lambda: self._tick(prewarm))

    def _ask(self, tenant: Tenant) -> None:
        if self.ledger.enter(tenant.key, self.now):
            self._serve(tenant, self.now)
        else:
            self.ledger.wait(tenant.key, tenant.size, self.now)
            entry = (tenant, self.now)
            self._waiting[tenant.key].append(entry)
            self._after(PATIENCE, lambda: self._lose_patience(entry))

    def _serve(self, tenant: Tenant, asked: float) -> None:
        self.waits[tenant.name].append(self.now - asked)
        seconds = self._random.expovariate(1 / tenant.request)
        self._after(seconds, lambda: self._finish(tenant, seconds))

    def _finish(self, tenant: Tenant, seconds: float) -> None:
        self.served[tenant.name] += 1
        self.ledger.leave(tenant.key, self.now, seconds)
        self._pause(tenant)

    def _lose_patience(self, entry: tuple[Tenant, float]) -> None:
        tenant, _ = entry
        if entry in self._waiting[tenant.key]:
            self._waiting[tenant.key].remove(entry)
            self.given_up[tenant.name] += 1
            self.ledger.give_up(tenant.key, self.now)
            self._pause(tenant)

    def _pause(self, tenant: Tenant) -> None:
        self._after(self._random.expovariate(1 / tenant.pause), lambda: self._ask(tenant))

    def _look(self) -> None:
        """Does what the ledger wants, as an engine would, and holds it to its promises."""
        before = self.ledger.swaps
        moves = self.ledger.advance(self.now)
        self.swaps += [self.now] * (self.ledger.swaps - before)
        self.most_reserved = max(self.most_reserved, self.ledger.reserved)
        self._do(moves)

    def _do(self, moves: Moves) -> None:
        for key in moves.unload:
            self.taken_in_use += self.ledger.holds[key].users
            self._after(UNLOAD_SECONDS, lambda key=key: self.ledger.gone(key, self.now))
        for key in moves.load:
            self._load(key)
        for key in moves.admit:
            for tenant, asked in self._waiting.pop(key, []):
                self._serve(tenant, asked)

    def _load(self, key: Key) -> None:
        assert self.ledger.holds[key].state is State.LOADING
        seconds = self.ledger.holds[key].size / LOAD_BYTES_PER_SECOND
        self._after(seconds, lambda: self.ledger.ready(key, self.now))

    def _after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), event))


def figures(hours: float = 24.0) -> dict[str, float]:
    """What a day of three tenants on the card comes to."""
    simulation = Simulation()
    simulation.run(TENANTS, hours * HOUR, prewarm=TENANTS[:1])
    gaps = [later - earlier for earlier, later in itertools.pairwise(simulation.swaps)]
    found: dict[str, float] = {
        "swaps": float(len(simulation.swaps)),
        "windows": hours * HOUR / RESIDENCY,
        "least_seconds_between_swaps": min(gaps, default=0.0),
        "most_reserved_gb": simulation.most_reserved / GB,
        "taken_in_use": float(simulation.taken_in_use),
    }
    for tenant in TENANTS:
        waits = sorted(simulation.waits[tenant.name])
        found[f"{tenant.name}, served"] = float(len(waits))
        found[f"{tenant.name}, given_up"] = float(simulation.given_up[tenant.name])
        found[f"{tenant.name}, wait_p50_s"] = waits[len(waits) // 2]
        found[f"{tenant.name}, wait_p99_s"] = waits[len(waits) * 99 // 100]
    return found


def main() -> None:
    for name, figure in figures().items():
        print(f"{name:30} {figure:12.2f}")


if __name__ == "__main__":
    main()
