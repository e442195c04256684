"""Connections taken in a few at a time, with a share of them for each address."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from prometheus_client import Counter

__all__ = ["EVICTED", "REFUSED", "SPARE", "Acceptor", "Slots"]

EVICTED = Counter("nexus_gateway_http_evicted_total", "Idle connections closed to make room for others.")
REFUSED = Counter(
    "nexus_gateway_http_refused_total", "Connections refused before they made a request.", ["code"]
)

AT_ONCE = 8
"""Connections between two looks at all others."""
FULL_SECONDS = 0.1
"""Until the next try when there is no descriptor for another one."""
FULL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """In the place of an asyncio.Server, as far as uvicorn needs one."""

    def __init__(self, sock: socket.socket, make: Callable[[], asyncio.Protocol]) -> None:
        self._sock = sock
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        self._retry: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Takes no more."""
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._sock.fileno())

    async def wait_closed(self) -> None:
        """Until what was taken is open."""
        if self._opening:
            await asyncio.wait(self._opening)

    def _listen(self) -> None:
        self._retry = None
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, _address = self._sock.accept()
            except OSError as error:
                if error.errno in FULL:
                    self._loop.remove_reader(self._sock.fileno())
                    self._retry = self._loop.call_later(FULL_SECONDS, self._listen)
                return  # or nobody is left, or that one has gone again
            connection.setblocking(False)
            opening = self._loop.create_task(self._open(connection))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, connection)
        except OSError:
            connection.close()


SPARE = 0.125
"""Of the slots, for connections that are only told that there is no room."""
LEAST_SPARE = 16


class Connection(Protocol):
    """What holds a slot. `evict` closes it; it is only called while the connection is idle."""

    def evict(self) -> None: ...


Idle = OrderedDict[Connection, None]
"""Connections of one address without a request under way, the longest idle first. Each keeps itself in it."""


class _Address:
    """The connections of one address."""

    __slots__ = ("held", "idle")

    def __init__(self) -> None:
        self.held = 0
        self.idle: Idle = OrderedDict()


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

    def enter(self, address: str, connection: Connection) -> Idle | None:
        """Takes a slot for a new connection, which is idle; None when there was none, and none could be had.

        Who is only to be told so makes no room for the next one.
        """
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
        if not roomy:
            return None
        known.idle[connection] = None
        return known.idle

    def leave(self, address: str, connection: Connection) -> None:
        """The connection is gone."""
        if connection in self._evicted:
            self._evicted.remove(connection)
        else:
            self._free(address, connection)

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
