"""How much memory this process may take: the machine's, or less where a container says so."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["body_bytes", "memory_limit"]

MIB = 1024 * 1024
QUARTER = 4
LEAST, MOST = 64 * MIB, 1024 * MIB
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Of the group this process is in, as a container sees it: version 2 and version 1 of cgroups."""


def memory_limit(limits: tuple[Path, ...] = LIMITS) -> int:
    """Bytes."""
    known = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for file in limits:
        try:
            known.append(int(file.read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min(known)


def body_bytes(limit: int) -> int:
    """Of so much memory, what all request bodies under way may take. What is made of one is up to 2.5 times as much."""
    return min(max(LEAST, limit // QUARTER), MOST)
