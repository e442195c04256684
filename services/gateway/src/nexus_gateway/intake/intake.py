"""Bodies on their way in: room for them, and reading them in steps."""

from __future__ import annotations

import asyncio
import os
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nexus_mesh.core import JsonObject, MeshError, Reason, Turns
from prometheus_client import Counter, Gauge

from nexus_gateway.core import LARGE, InferenceRequest
from nexus_gateway.validation import decode_object, decoding

__all__ = ["SPOOL_BYTES", "BodyBudget", "Check", "Hold", "Intake", "body_bytes", "memory_limit"]

MIB = 1024 * 1024
QUARTER = 4
LEAST, MOST = 64 * MIB, 1024 * MIB
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Of the group this process is in, as a container sees it: version 2 and version 1 of cgroups."""


def memory_limit(limits: tuple[Path, ...] = LIMITS) -> int:
    """Bytes."""
    known = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for file in limits:
        try:
            known.append(int(file.read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min(known)


def body_bytes(limit: int) -> int:
    """Of so much memory, what all request bodies under way may take. What is made of one is up to 2.5 times as much."""
    return min(max(LEAST, limit // QUARTER), MOST)


BODY_BYTES = Gauge("nexus_gateway_http_body_bytes", "Bytes of request bodies under way, waiting ones too.")
BODY_REFUSALS = Counter(
    "nexus_gateway_http_body_refusals_total",
    "Bodies there was no room for, by whose requests took it.",
    ["whose"],
)
SPOOL_BYTES = Gauge(
    "nexus_gateway_spool_bytes", "Bytes of uploaded files that are kept on disk on their way."
)
MOST_WAITING = 256
RETRY_AFTER = 2.0


@dataclass(slots=True, eq=False)
class _Waiter:
    owner: str
    size: int
    turn: asyncio.Future[None]


class BodyBudget:
    """`share`: the part of all bytes that one owner may hold while nobody else holds any.

    The more others hold, the less one may: never more than `share / (1 - share)` times what would be left. So there is
    room for one more owner, however many have taken what they may.
    """

    def __init__(self, total: int, share: float, wait_seconds: float, gauge: Gauge = BODY_BYTES) -> None:
        self._total = total
        self._weight = share / (1 - share)
        self._wait_seconds = wait_seconds
        self._used = 0
        self._held: dict[str, int] = {}
        self._waiting: deque[_Waiter] = deque()
        gauge.set_function(lambda: self._used)

    @property
    def used(self) -> int:
        return self._used

    def left(self, owner: str) -> int:
        """Bytes the owner could take beside what it holds while nobody else held any."""
        most = int(self._total * self._weight / (1 + self._weight))
        return max(0, most - self._held.get(owner, 0))

    async def take(self, owner: str, size: int) -> None:
        """Returns when so many bytes are the owner's. Raises RATE_LIMIT or OVERLOAD when that would take too long."""
        if self.took(owner, size):
            return
        if len(self._waiting) >= MOST_WAITING:
            raise self._refusal(owner, size)
        waiter = _Waiter(owner, size, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await waiter.turn
        except TimeoutError:
            if not waiter.turn.done() or waiter.turn.cancelled():
                raise self._refusal(owner, size) from None
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.cancelled():
                self.give_back(owner, size)  # it was granted at the very moment its client left
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                self._wake()

    def took(self, owner: str, size: int) -> bool:
        """Whether so many bytes could be the owner's at once, and are."""
        if not self._fits(owner, size) or (self._waiting and self._is_behind(owner, size)):
            return False
        self._grant(owner, size)
        return True

    def give_back(self, owner: str, size: int) -> None:
        self._used -= size
        left = self._held[owner] - size
        if left:
            self._held[owner] = left
        else:
            del self._held[owner]
        if self._waiting:
            self._wake()

    def _fits(self, owner: str, size: int) -> bool:
        left = self._total - self._used - size
        return left >= 0 and self._held.get(owner, 0) + size <= self._weight * left

    def _is_behind(self, owner: str, size: int) -> bool:
        """Whether somebody waits who would be passed: of the same owner, or for want of room for all."""
        return any(
            each.owner == owner or self._used + size + each.size > self._total for each in self._waiting
        )

    def _grant(self, owner: str, size: int) -> None:
        self._used += size
        self._held[owner] = self._held.get(owner, 0) + size

    def _wake(self) -> None:
        """Lets in who fits, in order. Who has all of a share is passed; nobody passes one for whom there is no room."""
        passed: set[str] = set()
        for waiter in list(self._waiting):
            if self._used + waiter.size > self._total:
                return
            if waiter.turn.done() or waiter.owner in passed:
                continue
            if self._fits(waiter.owner, waiter.size):
                self._waiting.remove(waiter)
                self._grant(waiter.owner, waiter.size)
                waiter.turn.set_result(None)
            else:
                passed.add(waiter.owner)

    def _refusal(self, owner: str, size: int) -> MeshError:
        """429 when the owner's own requests are in the way."""
        own = self._held.get(owner, 0)
        mine = own > 0 and size <= self._weight * (self._total - (self._used - own) - size)
        BODY_REFUSALS.labels("share" if mine else "all").inc()
        what = "Your other requests under way hold" if mine else "The requests under way hold"
        return MeshError(
            Reason.RATE_LIMIT if mine else Reason.OVERLOAD,
            f"{what} as many bytes as this gateway keeps in memory for {'one tenant' if mine else 'all'}, and this one "
            "has a large body. Send it again once some have ended, or send smaller ones.",
            metadata={"reason": "saturated"},
            retry_after=RETRY_AFTER * random.uniform(1, 2),
        )


class Hold:
    """What one request has taken of a budget."""

    __slots__ = ("_budget", "_owner", "_size")

    def __init__(self, budget: BodyBudget, owner: str) -> None:
        self._budget = budget
        self._owner = owner
        self._size = 0

    @property
    def owner(self) -> str:
        return self._owner

    @property
    def left(self) -> int:
        """Bytes its owner may take beside all that it holds, as far as its own share goes."""
        return self._budget.left(self._owner)

    async def reach(self, size: int) -> None:
        """Sees that it holds at least so many bytes. Raises as BodyBudget.take()."""
        if size > self._size:
            if not self._budget.took(self._owner, size - self._size):
                await self._budget.take(self._owner, size - self._size)
            self._size = size

    def release(self) -> None:
        if self._size:
            self._budget.give_back(self._owner, self._size)
            self._size = 0


Check = Callable[[JsonObject, int], InferenceRequest]
"""From the object in a body and the body's size to the checked request. Raises MeshError."""


@dataclass(frozen=True, slots=True)
class Intake:
    """One for all doors of a gateway. `disk`: for files that are kept there on their way. `fetches`: whether what
    bodies name by URL is fetched.
    """

    bodies: BodyBudget
    disk: BodyBudget
    turns: Turns = field(default_factory=Turns)
    fetches: bool = False

    async def read(self, body: bytes | bytearray, check: Check) -> InferenceRequest:
        """The request in a body, packed if it is large: those are read one at a time. Raises MeshError.

        Whoever calls keeps no name for the body: its bytes are let go of as soon as they were read.
        """
        size = len(body)
        if size < LARGE:
            return check(decode_object(body), size)
        async with self.turns:
            reading = decoding(body)
            del body
            parsed = await self.turns.steps(reading)
            request = await self.turns.step(check, parsed, size)
            del parsed, reading
            await self.turns.step(request.pack)
        return request
