"""Memory of large requests goes back to the system when they have ended, and not into the heap's holes."""

from __future__ import annotations

import ctypes

__all__ = ["give_large_blocks_back"]

M_MMAP_THRESHOLD = -3
LARGE = 1024 * 1024


def give_large_blocks_back() -> None:
    """Has glibc map every large block by itself. Left alone it stops doing so once the first one was freed."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return  # another C library, with another allocator
    mallopt(M_MMAP_THRESHOLD, LARGE)
