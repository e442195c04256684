"""Which names this edge answers to. The loopback edge is open, so a web page must not reach it by a foreign name."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from functools import lru_cache

from nexus_gateway.http.errors import EdgeError

__all__ = ["LOCAL_NAMES", "HostGuard", "host_name", "local_names"]

LOCAL_NAMES = ("localhost", "*.localhost", "*.local", "*.internal")
"""Names nobody can register in public, so that no page of the internet can be served under one: this machine by its
mDNS name, and the host as its containers call it. A neighbour may announce a name of `.local`; a page it serves still
sends its Origin with whatever would make tokens, and is refused for that."""


class HostGuard:
    """Checks Host against names; `*.name` stands for all below it, and None for any name at all."""

    def __init__(self, names: Iterable[str] | None) -> None:
        known = [name.lower().rstrip(".") for name in names or ()]
        self._any = names is None
        self._names = frozenset(name for name in known if not name.startswith("*."))
        self._ends = tuple(name[1:] for name in known if name.startswith("*."))
        self._knows = lru_cache(maxsize=256)(self._looks_known)

    def check(self, fields: Mapping[bytes, bytes]) -> None:
        """EdgeError misdirected_request."""
        if not self._any and not self._knows(fields.get(b"host", b"")):
            raise EdgeError(
                "misdirected_request",
                "This gateway does not answer to that host name. Call it as localhost, or have the operator add the "
                "name to `[gateway] hosts`.",
            )

    def _looks_known(self, host: bytes) -> bool:
        name = host_name(host)
        return name in self._names or name.endswith(self._ends) or is_loopback_address(name)


def local_names(more: Iterable[str] = ()) -> tuple[str, ...]:
    """What an endpoint that only this machine reaches is called, and `more`."""
    return (*LOCAL_NAMES, socket.gethostname(), *more)


def host_name(host: bytes) -> str:
    """`host[:port]` without its port and the dot at its end, in lower case."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text[: text.find("]") + 1]
    return text.partition(":")[0].removesuffix(".")


def is_loopback_address(name: str) -> bool:
    """Whether a host's name is an address of this machine alone."""
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
