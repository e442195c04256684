"""A closer look at a body that may be too deep or too large to be parsed; and why one could not be, in words."""

from __future__ import annotations

import re
from collections.abc import Generator

from nexus_mesh.core import JsonObject, MeshError

from nexus_gateway.validation.refusals import invalid

__all__ = ["HALF", "MAX_KEYS", "STEP", "check_keys", "check_shape", "explain"]

MAX_DEPTH = 64
MAX_NODES = 50_000
MAX_NUMBERS = 300_000
"""In lists of nothing but numbers: as many token ids as OpenAI takes in one request. They are data, not structure."""
MAX_QUOTES = 4 * MAX_NODES
"""Each value may be a string, and have one for its key."""
MAX_KEYS = 1_000
FLAT = ("logit_bias",)
"""Parameters that are a plain map of numbers: bounded by MAX_NODES alone."""

STEP = 1024 * 1024
"""Bytes of a body between two pauses."""
HALF = MAX_DEPTH // 2
"""So many of either bracket: fewer are neither too deep nor too many values."""

_POSITION = re.compile(r"byte (\d+)")
_NOT_A_NUMBER = (b"NaN", b"Infinity", b"-NaN", b"-Infinity")
_NOT_UTF8 = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_ONLY_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BACKSLASH = re.compile(rb"[^\\]")
_NUMBERS = re.compile(rb"\[[-+0-9.eE,\s]+\]")


def check_shape(body: bytes | bytearray) -> Generator[None, None, bool]:
    """Refuses what is too deep or has too many nodes; says whether an object could have too many keys."""
    structure = yield from _outside_strings(body)
    yield
    if _deeper_than(MAX_DEPTH, structure):
        raise invalid("too_deep", f"The body is nested more than {MAX_DEPTH} levels deep.")
    numbers = sum(found[0].count(b",") for found in _NUMBERS.finditer(structure))
    if numbers > MAX_NUMBERS:
        raise invalid(
            "too_complex", f"The body has more than {MAX_NUMBERS} numbers in lists. Send less at once."
        )
    if structure.count(b",") - numbers + structure.count(b"[") + structure.count(b"{") > MAX_NODES:
        raise _too_many_values()
    return structure.count(b":") > MAX_KEYS


def _too_many_values() -> MeshError:
    return invalid("too_complex", f"The body has more than {MAX_NODES} JSON values. Send less at once.")


def _outside_strings(body: bytes | bytearray) -> Generator[None, None, bytes]:
    """The body with a bare quote for each string: exact up to the first syntax error, where the decoder stops too.

    What lies between quotes is kept piece by piece, so there must not be more pieces than values could make.
    """
    structure, inside, start, quotes = bytearray(), False, 0, 0
    while start < len(body):
        end = _after_escape(body, start + STEP)
        piece, start = body[start:end], end
        if b"\\" in piece:
            piece = piece.replace(rb"\\", b"").replace(rb"\"", b"")
        quotes += piece.count(b'"')
        if quotes > MAX_QUOTES:
            raise _too_many_values()
        parts = piece.split(b'"')
        if inside and len(parts) > 1:
            structure += b'"'
        structure += b'"'.join(parts[inside::2])
        inside ^= len(parts) % 2 == 0
        if start < len(body):
            yield
    return bytes(structure)


def _after_escape(body: bytes | bytearray, end: int) -> int:
    """Where a piece may end: not between the two bytes of an escape."""
    found = _NO_BACKSLASH.search(body, end - 1) if end < len(body) else None
    return found.end() if found else len(body)


def _deeper_than(limit: int, structure: bytes) -> bool:
    """Each round takes away the innermost level. What is unbalanced stays, for the decoder to refuse."""
    brackets = structure.translate(_AS_SQUARE, delete=_ONLY_BRACKETS)[: 2 * MAX_NODES]
    for _ in range(limit):
        if b"[]" not in brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    return b"[]" in brackets or len(brackets) > limit


def check_keys(body: JsonObject) -> None:
    """Refuses objects of too many keys, wherever they stand."""
    pending: list[object] = [
        value for name, value in body.items() if name not in FLAT or type(value) is not dict
    ]
    _check_keys_of(body)
    while pending:
        item = pending.pop()
        if type(item) is dict:
            _check_keys_of(item)
            pending.extend(item.values())
        elif type(item) is list:
            pending.extend(item)


def _check_keys_of(item: JsonObject) -> None:
    if len(item) > MAX_KEYS:
        raise invalid("too_complex", f"An object in the body has more than {MAX_KEYS} keys.")


def explain(body: bytes | bytearray, error: Exception) -> MeshError:
    if not body.strip():
        return invalid("invalid_json", "The body is empty. Send a JSON object.")
    if isinstance(error, UnicodeDecodeError) or body.startswith(_NOT_UTF8) or b"\0" in body[:4]:
        return invalid("invalid_utf8", "The body is not UTF-8 without a byte order mark.")
    if isinstance(error, RecursionError):
        return invalid("too_deep", f"The body is nested more than {MAX_DEPTH} levels deep.")
    found = _POSITION.search(str(error))
    position = int(found[1]) if found else len(body)
    around = body[max(position - 1, 0) : position + 9]
    if "out of range" in str(error) or any(word in around for word in _NOT_A_NUMBER):
        return invalid("invalid_number", "The body has a number that is not finite or too large.")
    return invalid("invalid_json", f"The body is not valid JSON: it goes wrong at byte {position}.")
