"""Who holds the connections of an edge: a share per address, and the oldest idle one goes when there are too many."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Protocol

__all__ = ["SPARE", "Slots"]

SPARE = 0.125
"""Of the slots, for connections that are only told that there is no room."""


class Connection(Protocol):
    """What holds a slot. `evict` closes it; it is only called while the connection is idle."""

    def evict(self) -> None: ...


class _Address:
    """The connections of one address. `idle`: those without a request under way, the longest idle first."""

    __slots__ = ("held", "idle")

    def __init__(self) -> None:
        self.held = 0
        self.idle: OrderedDict[Connection, None] = OrderedDict()


class Slots:
    """`share`: the part of all slots that one address may hold. This machine's own is everybody's, and has no share."""

    def __init__(self, slots: int, share: float) -> None:
        self._slots = slots
        self._share = max(1, int(slots * share))
        self._addresses: dict[str, _Address] = {}
        self.held = 0

    @property
    def crowded(self) -> bool:
        """Whether even those who are to be told that there is no room are too many."""
        return self.held > self._slots * (1 + SPARE)

    def enter(self, address: str, connection: Connection) -> bool:
        """Takes a slot for a new connection, which is idle; whether there was one, or one could be had."""
        known = self._addresses.get(address)
        if known is None:
            known = self._addresses[address] = _Address()
        known.held += 1
        self.held += 1
        roomy = True
        if known.held > self._share and not _is_loopback(address):
            roomy = self._evict(known)
        elif self.held > self._slots:
            roomy = self._evict(self._largest())
        known.idle[connection] = None
        return roomy

    def leave(self, address: str, connection: Connection) -> None:
        """The connection is gone."""
        known = self._addresses[address]
        known.idle.pop(connection, None)
        known.held -= 1
        self.held -= 1
        if not known.held:
            del self._addresses[address]

    def busy(self, address: str, connection: Connection) -> None:
        """A request is under way on it."""
        self._addresses[address].idle.pop(connection, None)

    def idle(self, address: str, connection: Connection) -> None:
        """No request is, from now on."""
        self._addresses[address].idle[connection] = None

    def _largest(self) -> _Address | None:
        """Of the addresses that have an idle connection, the one that holds most."""
        return max(
            (each for each in self._addresses.values() if each.idle), key=lambda each: each.held, default=None
        )

    def _evict(self, address: _Address | None) -> bool:
        if address is None or not address.idle:
            return False
        address.idle.popitem(last=False)[0].evict()
        return True


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
