"""Where a fetch may go: what of a URL is taken at all, and which addresses are public once they are decoded."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpx2

from nexus_fetcher.types import Unfetched

__all__ = ["Target", "parse", "reachable"]

LONGEST = 4096
"""Characters of a URL."""
PORTS = {"http": 80, "https": 443}
NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label that makes a host an address to some, in forms that others read as a name."""

Address = IPv4Address | IPv6Address


def _networks(*texts: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(text) for text in texts)


# IANA's special-purpose registries, by hand: what ipaddress calls global differs between Python's releases.
SPECIAL = _networks(
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    # Of 2000::/3, outside of which nothing is public: Teredo, ORCHID and the like; documentation; 6to4.
    "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
)  # fmt: skip
PUBLIC_6 = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")
NEVER = _networks(
    "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
    "::/128", "::/96", "fe80::/10", "fec0::/10", "ff00::/8", "64:ff9b::/32", "2001::/23", "2002::/16",
)  # fmt: skip
"""Not even for a host that the operator names: whole links, addresses with others in them, a cloud's keys."""
LOOPBACK_6 = IPv6Address("::1")


@dataclass(frozen=True, slots=True)
class Target:
    """What one request goes to. `listed`: whether the operator named it."""

    scheme: str
    host: str
    port: int
    path: bytes
    """With the query."""
    authority: bytes
    listed: bool


def parse(url: httpx2.URL | str, private: Container[str]) -> Target:
    """Raises Unfetched."""
    try:
        if len(str(url)) > LONGEST:
            raise Unfetched(f"has more than {LONGEST} characters")
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError):
        raise Unfetched("is not a URL that can be read") from None
    if parsed.scheme not in PORTS:
        raise Unfetched("must begin with https:// or http://, or be a data: URL")
    if parsed.userinfo or "@" in str(url).partition("://")[2].partition("/")[0]:
        raise Unfetched("must not have a user name or a password in it")
    host, port = _host(parsed.host), parsed.port or PORTS[parsed.scheme]
    named = f"[{host}]" if ":" in host else host
    listed = f"{named}:{port}" in private or (port in PORTS.values() and named in private)
    if not listed and port not in PORTS.values():
        raise Unfetched("must not name a port other than 80 and 443")
    authority = named if port == PORTS[parsed.scheme] else f"{named}:{port}"
    return Target(parsed.scheme, host, port, parsed.raw_path, authority.encode(), listed)


def _host(host: str) -> str:
    """Raises Unfetched for what parsers differ about."""
    host = host.lower().rstrip(".")
    if ":" in host:
        if "%" in host:
            raise Unfetched("must not name a network interface")
        return str(_literal(host))
    try:
        host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        raise Unfetched("has no host that can be looked up") from None
    if NUMBER.fullmatch(host.rpartition(".")[2]):
        return str(_literal(host))
    if NAME.fullmatch(host) is None:
        raise Unfetched("has no host that can be looked up")
    return host


def _literal(host: str) -> Address:
    try:
        return ip_address(host)
    except ValueError:
        raise Unfetched("has an address for its host that is not written in the usual way") from None


def reachable(address: str, *, listed: bool = False) -> str | None:
    """The address to connect to, with none left inside it; None where a fetch must not go."""
    try:
        found = ip_address(address)
    except ValueError:  # with a zone among others
        return None
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            return None
        found = found.ipv4_mapped or found
    if listed and (found == LOOPBACK_6 or not _is_in(found, NEVER)):
        return str(found)
    return str(found) if _is_public(found) else None


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        if address in NAT64:
            return _is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in PUBLIC_6:
            return False
    return not _is_in(address, SPECIAL)


def _is_in(address: Address, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    return any(address in network for network in networks)
