"""Which announcements came from this machine: zeroconf remembers what was said, and not who said it."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeroconf import Zeroconf

__all__ = ["Sources"]

REMEMBERED = 1024
ADDRESSES_SECONDS = 5.0


class Sources:
    """Remembers the services that were announced from one of our own addresses, each with its port."""

    def __init__(self, here: Callable[[str], bool]) -> None:
        self._here = here
        self._said: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._known: dict[str, tuple[bool, float]] = {}

    def listen(self, zeroconf: Zeroconf) -> None:
        """Hears what zeroconf hears from now on; again after its networks have changed."""
        for reader in zeroconf.engine.readers:
            heard = reader.transport.get_protocol()
            if not isinstance(heard, _Overheard):
                reader.transport.set_protocol(_Overheard(heard, self._take))

    def said_here(self, name: str, port: int) -> bool:
        """Whether this machine itself announced the service at that port."""
        return (name.lower(), port) in self._said

    def _take(self, data: bytes, sender: str) -> None:
        from zeroconf import DNSIncoming, DNSService  # pyright: ignore[reportPrivateImportUsage]

        if not self.is_here(sender):
            return
        message = DNSIncoming(data)
        if not message.valid or not message.is_response():
            return
        for record in message.answers():
            if isinstance(record, DNSService):
                self._said[record.name.lower(), record.port] = None
        while len(self._said) > REMEMBERED:
            self._said.popitem(last=False)

    def is_here(self, address: str) -> bool:
        """Whether an address is ours. Asked for every packet, so the answer is kept for a moment."""
        known, now = self._known.get(address), time.monotonic()
        if known is None or known[1] < now:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[address] = (self._here(address), now + ADDRESSES_SECONDS)
        return known[0]


class _Overheard(asyncio.DatagramProtocol):
    """Passes everything on to the protocol it stands before."""

    def __init__(self, protocol: Any, take: Callable[[bytes, str], None]) -> None:
        self._protocol = protocol
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        try:
            self._take(data, _plain(addr[0]))
        finally:
            self._protocol.datagram_received(data, addr)

    def error_received(self, exc: Exception) -> None:
        self._protocol.error_received(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)


def _plain(host: str) -> str:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
