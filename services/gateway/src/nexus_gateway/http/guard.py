"""Which names this edge answers to and which web pages may call it: the loopback edge is open, so pages must not."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from functools import lru_cache

from nexus_gateway.http.status import EdgeError, Header

__all__ = ["ORIGIN", "HostGuard", "Origins", "is_loopback_origin", "is_too_wide", "local_names"]

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


ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\*|\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?P<port>:(?:\d{1,5}|\*))?"
)
"""One entry of a list of origins: exact, or any port (`http://box:*`), or all of a scheme (`chrome-extension://*`)."""
_WEB = frozenset({"http", "https"})
_TOKEN = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_REMEMBERED_SECONDS = b"600"
_VARIES: Header = (b"vary", b"origin, access-control-request-method, access-control-request-headers")
MOST_HEADERS = 64


class Origins:
    """`listed` None: pages of this machine, on any port. A list adds others to them; one that is empty or names pages
    of this machine itself is taken as it stands. `refuses`: whether others are turned away before any work, which an
    open edge must do, for browsers send simple requests without asking first."""

    def __init__(self, listed: Iterable[str] | None = None, *, refuses: bool = True) -> None:
        wanted = [entry.lower() for entry in listed or ()]
        own = any(is_loopback_origin(entry) for entry in wanted)
        self._own_pages = listed is None or (bool(wanted) and not own)
        self._patterns = [_pattern(entry) for entry in wanted]
        self._refuses = refuses
        self._trusts = lru_cache(maxsize=256)(self._looks_trusted)

    def admit(self, fields: Mapping[bytes, bytes]) -> tuple[Header, ...]:
        """What every answer to this request says to a browser. EdgeError origin_not_allowed."""
        origin = fields.get(b"origin")
        if origin is None:
            return ()
        if self._trusts(origin):
            return (b"access-control-allow-origin", origin), (b"access-control-expose-headers", b"*"), _VARIES
        if self._refuses:
            raise _refused()
        return (_VARIES,)

    def preflight(self, fields: Mapping[bytes, bytes], methods: Iterable[str]) -> list[Header] | None:
        """The answer to a browser that asks first; None when this is no such question. EdgeError origin_not_allowed."""
        origin = fields.get(b"origin")
        if origin is None or b"access-control-request-method" not in fields:
            return None
        if not self._trusts(origin):
            raise _refused()
        asked = fields.get(b"access-control-request-headers", b"").split(b",")[:MOST_HEADERS]
        allowed = [name.strip().lower() for name in asked if _TOKEN.fullmatch(name.strip())]
        told: list[Header] = [
            (b"access-control-allow-methods", ", ".join(methods).encode()),
            # A star would not stand for Authorization.
            (b"access-control-allow-headers", b", ".join(allowed or [b"authorization", b"content-type"])),
            (b"access-control-max-age", _REMEMBERED_SECONDS),
        ]
        if fields.get(b"access-control-request-private-network") == b"true":
            told.append((b"access-control-allow-private-network", b"true"))
        return told

    def _looks_trusted(self, origin: bytes) -> bool:
        text = origin.decode("latin-1").lower()
        if self._own_pages and is_loopback_origin(text):
            return True
        return any(pattern.fullmatch(text) for pattern in self._patterns)


def is_loopback_origin(origin: str) -> bool:
    """Whether it is a web page of this machine."""
    found = ORIGIN.fullmatch(origin)
    if found is None or found["scheme"] not in _WEB:
        return False
    host = host_name(found["host"].encode())
    return host == "localhost" or host.endswith(".localhost") or is_loopback_address(host)


def is_too_wide(origin: str) -> bool:
    """Whether an entry stands for any page of the internet."""
    found = ORIGIN.fullmatch(origin)
    return found is not None and found["host"] == "*" and found["scheme"] in _WEB


def _pattern(entry: str) -> re.Pattern[str]:
    literal = re.escape(entry)
    if entry.endswith("://*"):
        return re.compile(literal.removesuffix(r"\*") + r"[^/\s]+")
    return re.compile(literal.removesuffix(r":\*") + r"(?::\d{1,5})?" if entry.endswith(":*") else literal)


def _refused() -> EdgeError:
    return EdgeError(
        "origin_not_allowed",
        "Web pages of this origin may not call this gateway. The operator can add it to `[gateway] origins`.",
        [_VARIES],
    )
