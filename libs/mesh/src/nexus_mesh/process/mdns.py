"""Multicast DNS on the networks a home has; nothing of zeroconf is imported before it is used."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

__all__ = ["NEXUS_SERVICE", "is_local", "local_interfaces", "own_addresses", "responder"]

NEXUS_SERVICE = "_nexus._tcp.local."
"""What a mesh's HTTP endpoint is announced as."""

# Not `is_private`: that counts in documentation, benchmark and reserved networks. An fe80:: address says nothing
# without its interface, and announcements travel over IPv4 here, so it cannot be used.
LOCAL = tuple(
    map(
        ipaddress.ip_network,
        (
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "169.254.0.0/16",
            "127.0.0.0/8",
            "::1/128",
            "fc00::/7",
        ),
    )
)
# Where clouds keep credentials for whoever asks.
METADATA = tuple(
    map(ipaddress.ip_network, ("169.254.169.0/24", "169.254.170.0/24", "fd00:ec2::/32", "fd20:ce::/32"))
)


def is_local(text: str) -> bool:
    """Whether an address is one a home network uses: private, link-local or loopback, and no metadata service."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    inside = [network for network in LOCAL if address in network]
    return bool(inside) and not any(address in network for network in METADATA)


def own_addresses() -> frozenset[str]:
    """Every address of this machine, now."""
    import ifaddr

    return frozenset(
        str(
            ipaddress.ip_address(
                address.ip if isinstance(address.ip, str) else address.ip[0].partition("%")[0]
            )
        )
        for adapter in ifaddr.get_adapters()
        for address in adapter.ips
    )


def local_interfaces() -> list[str]:
    """This machine's own IPv4 addresses on home networks and loopback; sorted."""
    return sorted(address for address in own_addresses() if ":" not in address and is_local(address))


@asynccontextmanager
async def responder(interfaces: Sequence[str]) -> AsyncGenerator[AsyncZeroconf, None]:
    """Speaks mDNS on the interfaces with these addresses. Raises OSError where that cannot be had."""
    from zeroconf import Error
    from zeroconf.asyncio import AsyncZeroconf

    try:
        zeroconf = AsyncZeroconf(interfaces=list(interfaces))
        try:
            await zeroconf.zeroconf.async_wait_for_start()
            yield zeroconf
        finally:
            await zeroconf.async_close()
    except Error as error:
        raise OSError(f"mDNS: {error}") from None
