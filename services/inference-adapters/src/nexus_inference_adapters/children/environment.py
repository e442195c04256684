"""What processes of ours that engines run in may know of us."""

from __future__ import annotations

import os

__all__ = ["child_environment"]

CHILD_VARIABLES = (
    "PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "OMP_WAIT_POLICY",
)  # fmt: skip
WAITING = {"OMP_WAIT_POLICY": "passive"}
"""Threads that wait for each other sleep. Where others use the processors too, spinning made a token cost ten times as
much of them."""


def child_environment() -> dict[str, str]:
    """Where programs, libraries and devices are, and no secret."""
    return WAITING | {name: os.environ[name] for name in CHILD_VARIABLES if name in os.environ}
