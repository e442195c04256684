"""What processes of ours that engines run in may know of us."""

from __future__ import annotations

import os

__all__ = ["child_environment"]

CHILD_VARIABLES = (
    "PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS",
)  # fmt: skip


def child_environment() -> dict[str, str]:
    """Where programs, libraries and devices are, and no secret."""
    return {name: os.environ[name] for name in CHILD_VARIABLES if name in os.environ}
