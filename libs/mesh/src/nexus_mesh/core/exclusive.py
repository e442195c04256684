"""One running service for each folder: a second one would not know what the first one does there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from nexus_mesh.core.errors import MeshError, Reason

__all__ = ["exclusive"]


@contextmanager
def exclusive(folder: Path, role: str) -> Generator[None, None, None]:
    """Holds the folder for this process; the system lets go of it when the process ends, however it ends.

    Raises STORE_UNAVAILABLE when another process holds it.
    """
    descriptor = os.open(folder / f"{role}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, folder, role)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path, role: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise MeshError(
            Reason.STORE_UNAVAILABLE,
            f"Another {role} runs on {folder}: stop it first, or use another home.",
        ) from None
