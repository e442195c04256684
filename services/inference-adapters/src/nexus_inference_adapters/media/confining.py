"""What a process that works on media gives up before it reads anything: memory, time, files and the network."""

from __future__ import annotations

import ctypes
import resource
import signal
import sys

__all__ = ["confine", "one_more_job"]

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
OPEN_FILES = 64
JOB_SECONDS = 600
"""Of CPU. An hour of speech takes a few."""


def confine(memory: int) -> None:
    """Of this process, from now on: `memory` bytes of address space, no file written, no core, and where the system
    lets anybody have it, no network. It ends with whoever started it. Call it before there are threads."""
    for what, most in (
        *([(resource.RLIMIT_AS, memory)] if sys.platform == "linux" else []),  # a Mac takes none
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        hard = resource.getrlimit(what)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (least, least))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the parent's to handle
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.unshare(
            CLONE_NEWUSER | CLONE_NEWNET
        )  # refused in some containers: the other limits hold there too


def one_more_job(seconds: int = JOB_SECONDS) -> None:
    """Time for one job from here; whoever takes more is ended by the system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))
