"""The address other machines reach this one at: told to who joins, so it is never loopback."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

import ifaddr
from nexus_mesh.core import WILDCARDS

from nexus_cli.output import Failure

__all__ = ["advertised", "choose"]

VIRTUAL = ("docker", "veth", "br-", "virbr", "cni", "flannel", "podman", "vmnet", "utun", "awdl", "llw")
"""Interfaces that lead to containers and machines inside this one."""
DOCUMENTATION = {"0.0.0.0": ("192.0.2.1", socket.AF_INET), "::": ("2001:db8::1", socket.AF_INET6)}
IPv4 = ipaddress.IPv4Address
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def advertised(listen: str, wanted: str | None) -> str:
    """Where a mesh that listens there is reached. Raises Failure when that cannot be found out."""
    if wanted:
        if wanted in WILDCARDS:
            raise Failure(
                "--advertise must be an address that others can dial.", "Example: --advertise 10.0.0.5"
            )
        return wanted
    if listen not in WILDCARDS:
        return listen
    return _by_route(listen) or choose(listen, _interfaces())


def choose(listen: str, interfaces: Iterable[tuple[str, str]]) -> str:
    """The one address (of name and address) that others can dial. Raises Failure when there is none, or several."""
    found = [ip for name, text in interfaces if _leads_out(name, ip := ipaddress.ip_address(text))]
    # Listening on 0.0.0.0 takes IPv4 alone; on :: both, and IPv4 is what most networks have.
    usable = [ip for ip in found if isinstance(ip, IPv4)] or ([] if listen == "0.0.0.0" else found)
    if len(usable) == 1:
        return str(usable[0])
    known = f" It has {', '.join(map(str, usable))}." if usable else ""
    raise Failure(
        f"It is not clear at which address other machines reach this one.{known}",
        "Say it with --advertise ADDRESS, or serve this machine alone with --listen 127.0.0.1.",
    )


def _leads_out(name: str, ip: Address) -> bool:
    return not (ip.is_loopback or ip.is_link_local or ip.is_unspecified or name.startswith(VIRTUAL))


def _by_route(listen: str) -> str | None:
    """The address on the way to the rest of the world, by the routing table alone; sends nothing."""
    destination, family = DOCUMENTATION[listen]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((destination, 9))
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if ipaddress.ip_address(address).is_loopback else address


def _interfaces() -> list[tuple[str, str]]:
    """Name and address of everything this machine has."""
    return [
        (adapter.nice_name, str(each.ip if each.is_IPv4 else each.ip[0]))
        for adapter in ifaddr.get_adapters()
        for each in adapter.ips
    ]
