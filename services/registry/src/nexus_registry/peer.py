"""The host a caller really connects from, out of gRPC's spelling of a peer."""

from __future__ import annotations

import ipaddress
from urllib.parse import unquote

from nexus_mesh.core import MeshError, Reason, addresses


def peer_host(peer: str) -> str:
    """The address in "ipv4:1.2.3.4:567" or "ipv6:[::1]:567". Raises INVALID_REQUEST for other transports."""
    family, _, rest = unquote(peer).partition(":")
    host, _, _ = rest.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]")) if family in ("ipv4", "ipv6") else None
    except ValueError:
        address = None
    if address is None:
        raise MeshError(
            Reason.INVALID_REQUEST,
            "Services register over TCP: this connection has no host to be reached at.",
        )
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)


def join_address(host: str, port: int, loopback_host: str = "") -> str:
    """host:port as others dial it; `loopback_host`, if given, stands in for a loopback address."""
    if loopback_host and ipaddress.ip_address(host).is_loopback:
        host = loopback_host
    return addresses.join(host, port)
