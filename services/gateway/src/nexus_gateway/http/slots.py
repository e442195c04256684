"""Who holds the connections of an edge: a share per address, and the oldest idle one goes when there are too many."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Protocol

__all__ = ["SPARE", "Slots"]

SPARE = 0.125
"""Of the slots, for connections that are only told that there is no room."""
LEAST_SPARE = 16


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
        self._evicted: set[Connection] = set()
        self.held = 0

    @property
    def crowded(self) -> bool:
        """Whether even those who are to be told that there is no room are too many."""
        return self.held > self._slots + max(LEAST_SPARE, int(self._slots * SPARE))

    def enter(self, address: str, connection: Connection) -> bool:
        """Takes a slot for a new connection, which is idle; whether there was one, or one could be had."""
        known = self._addresses.get(address)
        if known is None:
            known = self._addresses[address] = _Address()
        known.held += 1
        self.held += 1
        roomy = True
        if known.held > self._share and not _is_loopback(address):
            roomy = self._evict(address)
        elif self.held > self._slots:
            roomy = self._evict(self._largest())
        known.idle[connection] = None
        return roomy

    def leave(self, address: str, connection: Connection) -> None:
        """The connection is gone."""
        if connection in self._evicted:
            self._evicted.remove(connection)
        else:
            self._free(address, connection)

    def busy(self, address: str, connection: Connection) -> None:
        """A request is under way on it."""
        if connection not in self._evicted:
            self._addresses[address].idle.pop(connection, None)

    def idle(self, address: str, connection: Connection) -> None:
        """No request is, from now on."""
        if connection not in self._evicted:
            self._addresses[address].idle[connection] = None

    def _free(self, address: str, connection: Connection) -> None:
        known = self._addresses[address]
        known.idle.pop(connection, None)
        known.held -= 1
        self.held -= 1
        if not known.held:
            del self._addresses[address]

    def _largest(self) -> str | None:
        """Of the addresses that have an idle connection, the one that holds most."""
        with_idle = (address for address, known in self._addresses.items() if known.idle)
        return max(with_idle, key=lambda address: self._addresses[address].held, default=None)

    def _evict(self, address: str | None) -> bool:
        """Its slot is free at once, though closing it takes a moment."""
        if address is None or not self._addresses[address].idle:
            return False
        connection = next(iter(self._addresses[address].idle))
        self._free(address, connection)
        self._evicted.add(connection)
        connection.evict()
        return True


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
