"""Which names this edge answers to. The loopback edge is open, so a web page must not reach it by a foreign name."""

from __future__ import annotations

from collections.abc import Mapping

from nexus_gateway.http.errors import EdgeError


class HostGuard:
    """Checks Host and, when a browser sends one, Origin against a list of names; None = any name."""

    def __init__(self, names: frozenset[str] | None) -> None:
        self._names = None if names is None else frozenset(name.lower().encode() for name in names)

    def check(self, fields: Mapping[bytes, bytes]) -> None:
        """EdgeError misdirected_request or origin_not_allowed."""
        if self._names is None:
            return
        if host_name(fields.get(b"host", b"")) not in self._names:
            raise EdgeError("misdirected_request", "This gateway does not answer to that host name.")
        origin = fields.get(b"origin")
        if origin is not None and host_name(origin.partition(b"://")[2]) not in self._names:
            raise EdgeError("origin_not_allowed", "Web pages of other sites may not call this gateway.")


def host_name(host: bytes) -> bytes:
    """`host[:port]` without its port, in lower case."""
    if host.startswith(b"["):
        return host[: host.find(b"]") + 1].lower()
    return host.partition(b":")[0].lower()
