"""The history in pages: a token names the last revision seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from nexus_mesh.rpc import number_in, page_size, token_of

__all__ = ["page"]

T = TypeVar("T")

LABEL = "revisions"


def page(history: Sequence[tuple[int, T]], size: int, token: str) -> tuple[Sequence[tuple[int, T]], str]:
    """One page of a history (newest first) and the token of the next (or ""). Raises INVALID_REQUEST."""
    limit = page_size(size)
    below = number_in(token, LABEL) if token else None
    rest = [entry for entry in history if below is None or entry[0] < below]
    chosen = rest[:limit]
    return chosen, token_of(LABEL, str(chosen[-1][0])) if len(rest) > limit else ""
