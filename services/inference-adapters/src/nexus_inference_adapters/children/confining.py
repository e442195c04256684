"""What a process that reads strangers' bytes gives up before it does: memory, time, files and the network."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

__all__ = ["MIB", "close_doors", "confine", "one_more_job"]

MIB = 1024 * 1024
PR_SET_PDEATHSIG = 1
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
OPEN_FILES = 64
JOB_SECONDS = 600
"""Of CPU. An hour of speech takes a few."""


def confine(memory: int, *, cpu_seconds: int = 0, file_bytes: int = 0) -> None:
    """Of this process, from now on: `memory` bytes of address space, no file longer than `file_bytes`, no core, where
    `cpu_seconds` are given no more of them, and where the system lets anybody have it, no network. It ends with whoever
    started it. Call it before there are threads."""
    _limit(resource.RLIMIT_FSIZE, file_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    if cpu_seconds:
        _limit(resource.RLIMIT_CPU, cpu_seconds)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the parent's to handle
    if sys.platform == "linux":
        _limit(resource.RLIMIT_AS, memory)  # a Mac takes none
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.unshare(
            CLONE_NEWUSER | CLONE_NEWNET
        )  # refused in some containers: the other limits hold there too


def close_doors(spare: int = 0) -> None:
    """From now on nothing can be opened: no file, no connection. `spare`: descriptors it may still be given."""
    _limit(resource.RLIMIT_NOFILE, max(int(name) for name in os.listdir("/dev/fd")) + 1 + spare)


def one_more_job(seconds: int = JOB_SECONDS) -> None:
    """Time for one job from here; whoever takes more is ended by the system, with SIGXCPU."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _limit(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (least, least))
