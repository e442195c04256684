"""How much of this machine an engine in the box takes: threads, and memory for contexts."""

from __future__ import annotations

import os
from pathlib import Path

from nexus_inference_adapters.gguf import GgufFacts

__all__ = ["PART", "SMALL_PART", "context_tokens", "memory", "threads"]

MAX_CONTEXT = 8192
MIN_CONTEXT = 2048
PART, SMALL_PART = 4, 32
"""One in so many bytes of the memory is for contexts, all taken at the start: of a model that somebody asked for, and
of the one that is there unasked."""
CGROUP = Path("/sys/fs/cgroup")


def context_tokens(facts: GgufFacts, slots: int, room: int) -> int:
    """Tokens for each of `slots` requests at once, where contexts may take `room` bytes."""
    most = min(facts.context_tokens or MAX_CONTEXT, MAX_CONTEXT)
    if not facts.bytes_per_token:
        return most
    return min(most, max(MIN_CONTEXT, room // slots // facts.bytes_per_token))


def memory() -> int:
    """Bytes this process may use: the machine's, or what its control group leaves it."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _words("memory.max")
    return min(total, int(limit[0])) if limit and limit[0].isdecimal() else total


def threads() -> int | None:
    """Processors this process may use, where they are fewer than the machine's; None = llama.cpp knows best."""
    has = os.cpu_count() or 1
    may = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else has
    quota = _words("cpu.max")
    if len(quota) == 2 and quota[0].isdecimal():
        may = min(may, max(1, int(quota[0]) // int(quota[1])))
    return may if may < has else None


def _words(name: str) -> list[str]:
    try:
        return (CGROUP / name).read_text().split()
    except OSError:
        return []
