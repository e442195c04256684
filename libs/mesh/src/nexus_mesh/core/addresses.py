"""Hosts and ports as text: joined and split here, and nowhere else, so that an IPv6 address has its brackets."""

from __future__ import annotations

import ipaddress
import socket

__all__ = ["WILDCARDS", "bare", "is_loopback", "join", "local", "loopback", "split"]

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""What means every address to listen on, and where this machine itself reaches who listens there."""


def join(host: str, port: int) -> str:
    """host:port, and [host]:port for an IPv6 address."""
    host = bare(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split(address: str) -> tuple[str, int]:
    """The host, without brackets, and the port. Raises ValueError for what is no host:port."""
    host, colon, port = address.rpartition(":")
    whole = not (":" in host and not (host.startswith("[") and host.endswith("]")))
    if not (host and colon and whole and port.isascii() and port.isdecimal() and int(port) < 65536):
        raise ValueError('must look like "192.168.1.10:7410" or "[fd00::10]:7410"')
    return bare(host), int(port)


def bare(host: str) -> str:
    """The host without the brackets an IPv6 address may have come in."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def local(host: str) -> str:
    """Where this machine itself reaches who listens on `host`."""
    return WILDCARDS.get(bare(host), bare(host))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address. A name other than localhost may point anywhere."""
    try:
        return ipaddress.ip_address(bare(host)).is_loopback
    except ValueError:
        return host == "localhost"


def loopback() -> str:
    """This machine's loopback address, of the older family where it has both."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind((host, 0))
        except OSError:
            continue
        return host
    return "127.0.0.1"
