"""The ledger of one device. Decides and remembers; loading and unloading are done by whoever reads its moves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from nexus_inference_adapters.host.memory.planning import NEVER, Estimates, choose, earliest, free_at
from nexus_inference_adapters.host.memory.types import Claim, Device, Hold, Key, Moves, Rules, State

__all__ = ["MemoryLedger"]

UNLOAD_AGAIN_SECONDS = 5.0
LONG_AGO = -NEVER


class MemoryLedger:
    """Reserves before it lets load, so that what is reserved never exceeds the capacity by a decision of its own.

    Memory in use is never taken. Requests of a model in memory are served as they come until its residency is over
    and another model waits: then it lets no more in, ends what it has, and makes room. After such a swap there is
    none for `min_residency` seconds, so tenants in turns cost one swap a window and not one a request.

    Call `advance` after everything that returns nothing, and now and then besides.
    """

    def __init__(self, device: Device, rules: Rules) -> None:
        self.device = device
        self.rules = rules
        self.holds: dict[Key, Hold] = {}
        self.claims: dict[Key, Claim] = {}
        self.swaps = 0
        self._estimates = Estimates()
        self._swapping: Key | None = None
        self._swapped_at = LONG_AGO
        self._changed_at: dict[Key, float] = {}

    @property
    def reserved(self) -> int:
        return sum(hold.size for hold in self.holds.values())

    @property
    def free(self) -> int:
        return self.device.capacity - self.reserved

    # Requests

    def enter(self, key: Key, now: float) -> bool:
        """Takes the model into use if it can be used at once. Each True is followed by one `leave`."""
        hold = self.holds.get(key)
        if hold is None or not hold.is_open:
            return False
        self._use(hold, 1, now)
        return True

    def leave(self, key: Key, now: float, seconds: float = 0.0) -> bool:
        """A request that had the model ended after `seconds`. Whether somebody waits for memory."""
        hold = self.holds[key]
        hold.users -= 1
        if not hold.users:
            hold.since = now
        if seconds:
            self._estimates.served(seconds)
        return bool(self.claims)

    def wait(self, key: Key, size: int, now: float) -> None:
        """One more request waits for the model, which takes `size`. Each is followed by `give_up`, or is admitted."""
        self.claims.setdefault(key, Claim(key, size, now)).requests += 1

    def give_up(self, key: Key, now: float) -> None:
        """One request waits no longer."""
        claim = self.claims[key]
        claim.requests -= 1
        if not claim.requests:
            self._withdraw(key, now)

    def turn(self, key: Key, size: int, now: float) -> float:
        """Seconds until loading the model may begin, were it asked for now. inf = nobody can tell."""
        hold = self.holds.get(key)
        if hold is not None and (hold.is_open or hold.state is State.LOADING):
            return 0.0
        line = [claim.key for claim in self._unplaced()]
        ahead = line[: line.index(key)] if key in line else line
        first = self.claims[ahead[0]] if ahead else Claim(key, size, now)
        loads = sum(self._estimates.load(key, self.claims[key].size) for key in ahead)
        return self._seconds_to_room(first, now) + loads + len(ahead) * self.rules.min_residency

    def eta(self, key: Key, size: int, now: float) -> float:
        """Seconds until the model should be ready, were it asked for now. inf = nobody can tell."""
        hold = self.holds.get(key)
        if hold is not None and hold.is_open:
            return 0.0
        if hold is not None and hold.state is State.LOADING:
            return max(1.0, hold.ready_at - now)
        return self.turn(key, size, now) + self._estimates.load(key, size)

    def expected(self, hold: Hold) -> float | None:
        """When a load should end, or from when on an idle model may have to make room."""
        if hold.state is State.LOADING:
            return hold.ready_at
        due = free_at(hold, self.rules.min_residency)
        return due if hold.is_idle and due < NEVER else None

    # What was done

    def ready(self, key: Key, now: float, size: int = 0) -> None:
        """The model is in memory and takes `size`; 0 = as reserved."""
        hold = self.holds[key]
        self._estimates.loaded(key, now - hold.since)
        hold.state, hold.since, hold.ready_at = State.READY, now, now
        hold.size = size or hold.size
        self._note(key, now)
        self._end_swap(key, now)

    def failed(self, key: Key, now: float) -> None:
        """The model could not be loaded: nothing is held, and nobody waits for it any more."""
        del self.holds[key]
        self.claims.pop(key, None)
        self._note(key, now)
        self._end_swap(key, now)

    def gone(self, key: Key, now: float) -> None:
        """The model is out of memory."""
        del self.holds[key]
        self._note(key, now)

    def stayed(self, key: Key, now: float) -> None:
        """The model could not be unloaded: its memory is as taken as before."""
        hold = self.holds[key]
        hold.state, hold.since, hold.closing = State.READY, now, False
        hold.not_before = now + UNLOAD_AGAIN_SECONDS

    # What people and policy want

    def take_out(self, key: Key, now: float) -> bool:
        """Starts unloading for somebody who asked for it; False while it is in use or on its way."""
        hold = self.holds.get(key)
        if hold is None or not hold.is_idle or hold.pinned:
            return False
        self._unload(hold, now)
        return True

    def prewarm(self, key: Key, size: int, now: float) -> bool:
        """Reserves for a model that is wanted in memory, if that takes nothing from anybody. Load it if True."""
        if key in self.holds:
            self.holds[key].kept = True
        if key in self.holds or self.claims or size > self.free:
            return False
        self._reserve(key, size, now).kept = True
        return True

    def observe(
        self, backend: str, found: Mapping[str, int], as_of: float, now: float, pinned: Collection[str] = ()
    ) -> None:
        """What a backend had in memory at `as_of`: model -> size. Facts, whether or not they fit."""
        mine = {key.model: hold for key, hold in self.holds.items() if key.backend == backend}
        for model in mine.keys() | found.keys():
            key = Key(backend, model)
            if self._changed_at.get(key, LONG_AGO) >= as_of:
                continue  # the look was taken before what we know happened
            hold, size = mine.get(model), found.get(model)
            if hold is None:
                self.holds[key] = Hold(key, size or 0, State.READY, now, ready_at=now, pinned=model in pinned)
            elif hold.is_idle and size is None:
                self.gone(key, now)
            elif hold.state is State.READY:
                hold.size, hold.pinned = size or hold.size, model in pinned
        self._changed_at = {
            key: at for key, at in self._changed_at.items() if key.backend != backend or at >= as_of
        }

    def advance(self, now: float) -> Moves:
        """What is to be done now."""
        moves = Moves()
        self._admit(now, moves)
        self._place(now, moves)
        self._drain(now, moves)
        return moves

    def _admit(self, now: float, moves: Moves) -> None:
        for claim in tuple(self.claims.values()):
            hold = self.holds.get(claim.key)
            if hold is not None and hold.is_open:
                del self.claims[claim.key]
                self._use(hold, claim.requests, now)
                moves.admit.append(claim.key)

    def _place(self, now: float, moves: Moves) -> None:
        """The model that waits for longest goes first; others only into what it has no use for."""
        line = list(self._unplaced())
        if line and not self._try(line[0], now, moves):
            for claim in line[1:]:
                if self._is_no_delay(claim.size, line[0]):
                    self._load(claim, now, moves)
        elif line:
            self._place(now, moves)

    def _try(self, claim: Claim, now: float, moves: Moves) -> bool:
        """Loads the first in line, or makes room for it if that may be."""
        missing = claim.size - self.free
        if missing <= 0:
            self._load(claim, now, moves)
            return True
        if self._swapping is None and now < self._swapped_at + self.rules.min_residency:
            return False
        if self._swapping not in (None, claim.key):
            return False
        for hold in choose(self._others(), missing - self._leaving, self.rules.min_residency, now):
            if self._swapping is None:
                self._swapping, self.swaps = claim.key, self.swaps + 1
            hold.closing = True
        return False

    def _is_no_delay(self, size: int, head: Claim) -> bool:
        """Whether a smaller model fits beside the first in line, which gets its room no later for it."""
        if size > self.free:
            return False
        residency, missing = self.rules.min_residency, self._missing(head)
        if self._swapping == head.key:
            return missing + size <= 0
        later = earliest(self._others(), missing + size, residency)
        return later <= earliest(self._others(), missing, residency)

    def _drain(self, now: float, moves: Moves) -> None:
        """Unloads who makes room, once nobody uses it, and who was idle for long."""
        limit = self.rules.idle_unload
        for hold in self.holds.values():
            if not hold.is_idle or hold.pinned:
                continue
            stale = limit and not hold.kept and now - hold.since >= max(limit, self.rules.min_residency)
            if hold.closing or (stale and now >= hold.not_before):
                self._unload(hold, now)
                moves.unload.append(hold.key)

    def _seconds_to_room(self, claim: Claim, now: float) -> float:
        if claim.size <= self.free:
            return 0.0
        if self._swapping == claim.key:
            return self._estimates.request
        window = 0.0 if self._swapping is None else self.rules.min_residency
        due = earliest(self._others(), self._missing(claim), self.rules.min_residency)
        busy = any(hold.users for hold in self.holds.values())
        begun = max(now + window, due, self._swapped_at + self.rules.min_residency)
        return begun - now + (self._estimates.request if busy else 0.0)

    @property
    def _leaving(self) -> int:
        """Bytes that come free without another decision."""
        return sum(hold.size for hold in self.holds.values() if hold.closing or hold.state is State.UNLOADING)

    def _missing(self, claim: Claim) -> int:
        return claim.size - self.free - self._leaving

    def _unplaced(self) -> Iterator[Claim]:
        """Models that wait and have no memory yet, the first in line first."""
        return (claim for claim in self.claims.values() if claim.key not in self.holds)

    def _others(self) -> list[Hold]:
        """Who might leave and is not leaving yet."""
        return [hold for hold in self.holds.values() if not hold.closing]

    def _use(self, hold: Hold, requests: int, now: float) -> None:
        if not hold.users:
            hold.since = now
        hold.users += requests

    def _reserve(self, key: Key, size: int, now: float) -> Hold:
        expected = now + self._estimates.load(key, size)
        hold = self.holds[key] = Hold(key, size, State.LOADING, now, ready_at=expected)
        self._note(key, now)
        return hold

    def _load(self, claim: Claim, now: float, moves: Moves) -> None:
        self._reserve(claim.key, claim.size, now)
        moves.load.append(claim.key)
        if self._swapping == claim.key:
            self._reopen()

    def _unload(self, hold: Hold, now: float) -> None:
        hold.state, hold.since, hold.closing = State.UNLOADING, now, False
        self._note(hold.key, now)

    def _withdraw(self, key: Key, now: float) -> None:
        """Nobody waits for a model any more; if room was being made for it, that ends here."""
        del self.claims[key]
        if key not in self.holds:
            self._end_swap(key, now)

    def _end_swap(self, key: Key, now: float) -> None:
        if self._swapping == key:
            self._swapping, self._swapped_at = None, now
            self._reopen()

    def _reopen(self) -> None:
        for hold in self.holds.values():
            hold.closing = False

    def _note(self, key: Key, now: float) -> None:
        """What engines say of an earlier moment is out of date for this model."""
        self._changed_at[key] = now
