"""Memory of large requests goes back to the system when they have ended, and not into the heap's holes."""

from __future__ import annotations

import ctypes

__all__ = ["give_large_blocks_back", "give_small_blocks_back"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGE = 1024 * 1024
KEPT = 2 * LARGE
"""Free at the heap's end: what it would be had the library set the other one. Smaller, each read gives it back."""


def _library() -> ctypes.CDLL | None:
    """glibc; None with another allocator."""
    try:
        library = ctypes.CDLL(None)
        _ = library.mallopt, library.malloc_trim
    except (AttributeError, OSError):
        return None
    return library


_LIBRARY = _library()


def give_large_blocks_back() -> None:
    """Has glibc map every large block by itself. Left alone it stops doing so once the first one was freed."""
    if _LIBRARY is not None:
        _LIBRARY.mallopt(M_MMAP_THRESHOLD, LARGE)
        _LIBRARY.mallopt(M_TRIM_THRESHOLD, KEPT)


def give_small_blocks_back() -> None:
    """After a large message: it came, or went, in thousands of small blocks, and glibc keeps those."""
    if _LIBRARY is not None:
        _LIBRARY.malloc_trim(0)
