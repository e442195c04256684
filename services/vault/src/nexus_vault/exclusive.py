"""One running vault for each store: a second one would not hear of the first one's revocations."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nexus_vault.errors import VaultUnusableError

__all__ = ["exclusive"]


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Holds the folder for this process; the system lets go of it when the process ends, however it ends.

    Raises VaultUnusableError when another process holds it.
    """
    descriptor = os.open(folder / "vault.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise VaultUnusableError(
            f"Another vault runs on {folder}: stop it first, or use another home."
        ) from None
