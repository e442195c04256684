"""Which heads of requests are taken: framed in one way, for a name this edge answers to, from a page that may call.

The loopback edge is open, so web pages must not reach it. What the parser refuses itself is not looked at here.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NoReturn

from nexus_gateway.http.status import EdgeError, Header

__all__ = [
    "FRAMING",
    "ORIGIN",
    "HostGuard",
    "Origins",
    "body_too_large",
    "check_form",
    "check_head",
    "check_media_type",
    "is_form",
    "is_loopback_origin",
    "is_too_wide",
    "local_names",
]

_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PATH = re.compile(rb"/[!-~]*")
FORM = b"multipart/form-data"
FRAMING = "The length of the body is not told in one valid way."
_SINGLE = frozenset(
    {
        b"host",
        b"origin",
        b"authorization",
        b"content-length",
        b"content-type",
        b"content-encoding",
        b"transfer-encoding",
        b"expect",
        b"x-nexus-strict",
        b"access-control-request-method",
    }
)
"""Headers that decide something. Of two, somebody before us may have believed the other one."""


def check_head(
    method: bytes, url: bytes, version: str, headers: list[Header], max_body: int, *, upgrades: bool = False
) -> None:
    """EdgeError when the head of a request must not be acted on. `upgrades`: whether it is one for a WebSocket that
    there is."""
    if version not in ("1.1", "1.0"):
        name = "bad_request" if version.startswith("0") else "http_version"
        raise EdgeError(name, "This gateway speaks HTTP/1.1.")
    if not _PATH.fullmatch(url):
        raise EdgeError("bad_request", "The request target must be a path, like /v1/models.")
    seen: set[bytes] = set()
    for name, value in headers:
        if name in _SINGLE:
            if name in seen:
                _refuse_second(name)
            seen.add(name)
        if name == b"host":
            if _HOST.fullmatch(value) is None:
                raise EdgeError("bad_host", "The Host header is not a host name.")
        elif upgrades and name == b"upgrade":
            continue
        elif name in _CHECKS:
            _CHECKS[name](value, max_body)
    if version == "1.0" and b"transfer-encoding" in seen:
        # HTTP/1.0 has no such thing: who passed this on may have taken the body for something else.
        raise EdgeError("bad_framing", FRAMING)
    if b"host" not in seen and version == "1.1":
        raise EdgeError("bad_host", "Send exactly one Host header.")
    if method == b"CONNECT":
        raise EdgeError("bad_request", "This gateway is not a proxy.")


def _refuse_second(name: bytes) -> NoReturn:
    if name == b"host":
        raise EdgeError("bad_host", "Send exactly one Host header.")
    raise EdgeError("bad_header", f"Send one {name.decode().title()} header, not several.")


def _content_length(value: bytes, max_body: int) -> None:
    if not value.isdigit() or int(value) > max_body:
        raise body_too_large(max_body)


def _transfer_encoding(value: bytes, _: int) -> None:
    coding = value.lower()
    if coding != b"chunked":
        known = coding.startswith((b"gzip", b"x-gzip", b"deflate", b"compress"))
        raise EdgeError("transfer_coding" if known else "bad_framing", "Send the body plain or chunked.")


def _expect(value: bytes, _: int) -> None:
    if value.lower() != b"100-continue":
        raise EdgeError("expectation_failed", "The only expectation this gateway knows is 100-continue.")


def _upgrade(_: bytes, __: int) -> None:
    raise not_upgraded()


def not_upgraded() -> EdgeError:
    return EdgeError("bad_request", "This URL speaks plain HTTP/1.1; it cannot be upgraded.")


_CHECKS = {
    b"content-length": _content_length,
    b"transfer-encoding": _transfer_encoding,
    b"expect": _expect,
    b"upgrade": _upgrade,
}


def body_too_large(max_body: int) -> EdgeError:
    return EdgeError("request_too_large", f"The body is larger than {max_body} bytes. Send less at once.")


def check_media_type(fields: dict[bytes, bytes]) -> None:
    """EdgeError unless the body is plain JSON in UTF-8."""
    if fields.get(b"content-encoding", b"identity").lower() != b"identity":
        raise EdgeError("unsupported_encoding", "Send the body uncompressed, without Content-Encoding.")
    given, _, parameters = fields.get(b"content-type", b"").lower().partition(b";")
    name, _, value = parameters.partition(b"=")
    wrong_charset = name.strip() == b"charset" and value.strip(b'" ') not in (b"utf-8", b"utf8")
    if given.strip() != b"application/json" or wrong_charset:
        raise EdgeError(
            "unsupported_media_type", "Send the body as Content-Type: application/json, in UTF-8."
        )


def is_form(content_type: bytes) -> bool:
    """Whether a body is one with files."""
    return content_type[: len(FORM)].lower() == FORM


def check_form(fields: dict[bytes, bytes]) -> bytes:
    """The Content-Type of a form. EdgeError unless the body is one, uncompressed."""
    if fields.get(b"content-encoding", b"identity").lower() != b"identity":
        raise EdgeError("unsupported_encoding", "Send the body uncompressed, without Content-Encoding.")
    given = fields.get(b"content-type", b"")
    if not is_form(given):
        raise EdgeError("unsupported_media_type", "Send the body as Content-Type: multipart/form-data.")
    return given


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
