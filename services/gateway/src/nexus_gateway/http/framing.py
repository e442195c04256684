"""What makes a request head unacceptable, beyond what the parser itself refuses; and names for what it refuses."""

from __future__ import annotations

import re
from typing import NoReturn

import httptools

from nexus_gateway.http.status import EdgeError, Header

_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
# A method the parser does not know. Where one it knows stands first, what it choked on came after that request.
_METHOD = re.compile(rb"(?!(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) )[A-Za-z]{2,20} /")
_PATH = re.compile(rb"/[!-~]*")
_FRAMING = "The length of the body is not told in one valid way."
_HEADER = "A header line is not valid HTTP."

_PARSER_TEXTS: tuple[tuple[str, str, str], ...] = (
    ("Content-Length", "bad_framing", _FRAMING),
    ("Transfer-Encoding", "bad_framing", _FRAMING),
    ("chunk", "bad_framing", _FRAMING),
    ("Chunk", "bad_framing", _FRAMING),
    ("Invalid HTTP version", "http_version", "This gateway speaks HTTP/1.1."),
    ("header", "bad_header", _HEADER),
    ("CR", "bad_header", _HEADER),
)
"""Words in the parser's message -> name in EDGE and our message; the first match counts."""

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


def check_head(method: bytes, url: bytes, version: str, headers: list[Header], max_body: int) -> None:
    """EdgeError when the head of a request must not be acted on."""
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
        elif name in _CHECKS:
            _CHECKS[name](value, max_body)
    if version == "1.0" and b"transfer-encoding" in seen:
        # HTTP/1.0 has no such thing: who passed this on may have taken the body for something else.
        raise EdgeError("bad_framing", _FRAMING)
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
    raise EdgeError("bad_request", "This URL speaks plain HTTP/1.1; it cannot be upgraded.")


_CHECKS = {
    b"content-length": _content_length,
    b"transfer-encoding": _transfer_encoding,
    b"expect": _expect,
    b"upgrade": _upgrade,
}


def body_too_large(max_body: int) -> EdgeError:
    return EdgeError("request_too_large", f"The body is larger than {max_body} bytes. Send less at once.")


def explain(error: Exception, data: bytes) -> EdgeError:
    """What to answer to a parser's error at `data`. Its own text is matched, never shown."""
    if isinstance(error.__context__, EdgeError):
        return error.__context__
    if isinstance(error, httptools.HttpParserInvalidMethodError) and _METHOD.match(data):
        message = "That is not a method of this gateway. Use GET or POST."
        return EdgeError("method_not_allowed", message, [(b"allow", b"GET, HEAD, POST")])
    text = str(error)
    for words, name, message in _PARSER_TEXTS:
        if words in text:
            return EdgeError(name, message)
    return EdgeError("bad_request", "This is not an HTTP/1.1 request.")
