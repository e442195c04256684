"""Wrong keys: so many are free for an address, then they are slowed down. Good ones pass beside any number of them."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from nexus_mesh.core import MeshError, Reason, logger
from prometheus_client import Counter

__all__ = ["AT_ONCE", "LINE_SECONDS", "PER_SECOND", "Strangers"]

PER_SECOND = 2.0
AT_ONCE = 30.0
LINE_SECONDS = 60.0
KEPT = 4096

log = logger("gateway.http")

WRONG_KEYS = Counter(
    "nexus_gateway_http_wrong_keys_total", "Wrong API keys, by how they were answered.", ["status"]
)


class _Address:
    """A bucket of wrong keys still free, and how many came since the last line about it."""

    __slots__ = ("count", "filled_at", "left", "line_at")

    def __init__(self, now: float) -> None:
        self.left = AT_ONCE
        self.filled_at = now
        self.count = 0
        self.line_at = now - LINE_SECONDS


class Strangers:
    """Who gets no further than authentication, by address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def count(self, error: MeshError, credential: str | None, address: str) -> None:
        """Takes in why somebody was not let in. RATE_LIMIT where too many wrong keys come from."""
        if error.reason is not Reason.CALLER_KEY or credential is None:
            return
        wait = self._count(_network(address))
        WRONG_KEYS.labels("429" if wait else "401").inc()
        if wait:
            raise MeshError(
                Reason.RATE_LIMIT,
                "Too many wrong API keys have come from your address. Send one that is valid, or wait.",
                retry_after=wait,
            ) from None

    def _count(self, network: str) -> float:
        """Seconds until the next wrong key is free, 0 = this one was."""
        now = self._clock()
        known = self._addresses.pop(network, None) or _Address(now)
        self._addresses[network] = known
        if len(self._addresses) > KEPT:
            self._addresses.popitem(last=False)
        known.left = min(AT_ONCE, known.left + (now - known.filled_at) * PER_SECOND)
        known.filled_at = now
        known.count += 1
        if now - known.line_at >= LINE_SECONDS:
            log.warning("wrong API keys", address=network, count=known.count)
            known.count, known.line_at = 0, now
        if known.left >= 1:
            known.left -= 1
            return 0.0
        return (1 - known.left) / PER_SECOND


def _network(address: str) -> str:
    """Whoever has one address of IPv6 has 2^64."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
