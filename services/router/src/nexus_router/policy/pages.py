"""The history in pages: opaque tokens that name the last revision seen."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TypeVar

from nexus_mesh.errors import MeshError, Reason

__all__ = ["page"]

DEFAULT_SIZE = 100
LARGEST_SIZE = 1000

T = TypeVar("T")


def page(history: Sequence[tuple[int, T]], size: int, token: str) -> tuple[Sequence[tuple[int, T]], str]:
    """One page of a history (newest first) and the token of the next (or ""). Raises INVALID_REQUEST."""
    if size < 0:
        raise _invalid("page_size", "must not be negative")
    limit = min(size or DEFAULT_SIZE, LARGEST_SIZE)
    below = _decode(token) if token else None
    rest = [entry for entry in history if below is None or entry[0] < below]
    chosen = rest[:limit]
    return chosen, _encode(chosen[-1][0]) if len(rest) > limit else ""


def _encode(number: int) -> str:
    return base64.urlsafe_b64encode(f"below {number}".encode()).decode()


def _decode(token: str) -> int:
    try:
        word, number = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii").split(" ")
        if word == "below" and number.isdigit() and len(number) < 19:
            return int(number)
    except (ValueError, binascii.Error):
        pass
    raise _invalid("page_token", "is not one this router gave out")


def _invalid(field: str, why: str) -> MeshError:
    return MeshError(Reason.INVALID_REQUEST, f"{field} {why}.", metadata={"param": field})
