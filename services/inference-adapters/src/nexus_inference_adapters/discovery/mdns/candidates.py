"""What is remembered of announcements: so many in all, so many of one address, and the useful ones longest."""

from __future__ import annotations

from collections import Counter
from enum import IntEnum

from nexus_inference_adapters.discovery.mdns.adverts import Advert, Use

__all__ = ["EACH", "MOST", "Candidates", "Standing"]

MOST = 128
EACH = 12
"""Of one address; fewer than the probes that may run at once, so that one machine never holds them all up."""


class Standing(IntEnum):
    """How a candidate has done; the lower, the sooner it makes room for another."""

    FAILED = 0
    SEEN = 1
    NEW = 2
    SERVED = 3


class Candidates:
    """Adverts by name, in the order they came."""

    def __init__(self) -> None:
        self._adverts: dict[str, Advert] = {}
        self._standing: dict[str, Standing] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._adverts

    def __len__(self) -> int:
        return len(self._adverts)

    def get(self, name: str) -> Advert | None:
        return self._adverts.get(name)

    def standing(self, name: str) -> Standing | None:
        return self._standing.get(name)

    def admit(self, advert: Advert) -> tuple[bool, str | None]:
        """(whether it is remembered, the name of one that had to make room for it)."""
        of_address = sum(one.address == advert.address for one in self._adverts.values())
        if of_address >= EACH:
            return False, None
        displaced = None
        if len(self._adverts) >= MOST:
            displaced = self._dispensable() if advert.use is Use.ENGINE else None
            if displaced is None:
                return False, None
            self.forget(displaced)
        self._adverts[advert.name] = advert
        self._standing[advert.name] = Standing.NEW if advert.use is Use.ENGINE else Standing.SEEN
        return True, displaced

    def settle(self, name: str, standing: Standing) -> None:
        """Notes how a candidate has done, if it is still remembered."""
        if name in self._standing:
            self._standing[name] = standing

    def forget(self, name: str) -> None:
        self._adverts.pop(name, None)
        self._standing.pop(name, None)

    def _dispensable(self) -> str | None:
        """The first of the least use, of the address that has the most; None while all are new or served."""
        loose = [name for name, standing in self._standing.items() if standing < Standing.NEW]
        counts = Counter(advert.address for advert in self._adverts.values())
        return min(
            loose, key=lambda name: (self._standing[name], -counts[self._adverts[name].address]), default=None
        )
