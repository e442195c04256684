"""How many bytes of bodies are under way, in all and of one tenant: taken before a body is read, given back after."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass

from nexus_mesh.core import MeshError, Reason
from prometheus_client import Counter, Gauge

__all__ = ["BodyBudget", "Hold"]

BODY_BYTES = Gauge("nexus_gateway_http_body_bytes", "Bytes of request bodies under way, waiting ones too.")
BODY_REFUSALS = Counter(
    "nexus_gateway_http_body_refusals_total",
    "Bodies there was no room for, by whose requests took it.",
    ["whose"],
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

    def __init__(self, total: int, share: float, wait_seconds: float) -> None:
        self._total = total
        self._weight = share / (1 - share)
        self._wait_seconds = wait_seconds
        self._used = 0
        self._held: dict[str, int] = {}
        self._waiting: deque[_Waiter] = deque()
        BODY_BYTES.set_function(lambda: self._used)

    @property
    def used(self) -> int:
        return self._used

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
