"""What a process that reads strangers' bytes gives up before it does."""

from __future__ import annotations

import os
import resource

__all__ = ["MIB", "bound", "close_doors"]

MIB = 1024 * 1024


def bound(*, cpu_seconds: int = 0, memory: int = 0, file_bytes: int = 0) -> None:
    """Limits of this process, 0 = none of that kind. Beyond them it is killed, or what it asks for is refused."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if cpu_seconds:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    if file_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))


def close_doors(spare: int = 0) -> None:
    """From now on nothing can be opened: no file, no connection. `spare`: descriptors it may still be given."""
    last = max(int(name) for name in os.listdir("/dev/fd"))
    limit = last + 1 + spare
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
