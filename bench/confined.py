"""Memory of a process that is running: held inside a cgroup where we may make one, else only looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Confinement", "confined"]

ROOT = Path("/sys/fs/cgroup")
NAME = "nexus-noisy-{pid}"


@dataclass(frozen=True, slots=True)
class Confinement:
    """`how` in words; `limit` in bytes, 0 = the process is not held."""

    how: str
    limit: int


@contextmanager
def confined(pid: int, limit: int) -> Iterator[Confinement]:
    """Holds a process to `limit` bytes, what it has already taken included; over it the kernel ends the process."""
    group, knob = _place(pid)
    if group is None:
        yield Confinement("no cgroup can be made here: memory is measured, not held", 0)
        return
    taken = psutil.Process(pid).memory_info().rss
    try:
        # What was taken before stays charged where it was taken, so it is left out of what may come.
        (group / knob).write_text(str(limit - taken))
        (group / "cgroup.procs").write_text(str(pid))
        yield Confinement(f"cgroup {group}", limit)
    finally:
        _leave(group)


def _place(pid: int) -> tuple[Path | None, str]:
    """A fresh group and its limit's file, for either version of cgroups."""
    for parent, knob in ((ROOT / "memory", "memory.limit_in_bytes"), (ROOT, "memory.max")):
        group = parent / NAME.format(pid=pid)
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / knob).exists():
            return group, knob
        group.rmdir()
    return None, ""


def _leave(group: Path) -> None:
    for pid in (group / "cgroup.procs").read_text().split():
        (group.parent / "cgroup.procs").write_text(pid)
    group.rmdir()
