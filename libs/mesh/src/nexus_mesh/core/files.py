"""Files only this user may read, written whole or not at all; and nothing of our memory on any disk."""

from __future__ import annotations

import os
import resource
import stat
import tempfile
from pathlib import Path

__all__ = [
    "create_private",
    "default_home",
    "guard_process",
    "private_folder",
    "remove_parts",
    "write_private",
]

PART = ".part"
PRIVATE, FILE = 0o700, 0o600
OTHERS = 0o077


def default_home() -> Path:
    """The data directory of whoever says nothing else."""
    return Path(os.environ.get("NEXUS_HOME") or Path.home() / ".local" / "share" / "nexus")


def guard_process() -> None:
    """Whatever this process and its children make is their user's alone, and no crash leaves keys in a core dump."""
    os.umask(OTHERS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def private_folder(path: Path) -> None:
    """Makes the folder and the missing ones above it, mode 0700 whatever the umask. One that is there is closed to
    others, unless it is the user's own home directory or the root. Raises OSError.
    """
    if path.exists():
        shared = path.resolve() in (Path("/"), Path(os.path.expanduser("~")).resolve())
        if stat.S_IMODE(path.stat().st_mode) & OTHERS and not shared:
            path.chmod(PRIVATE)
        return
    if not path.parent.exists():
        private_folder(path.parent)
    path.mkdir(exist_ok=True, mode=PRIVATE)
    path.chmod(PRIVATE)


def create_private(path: Path, content: bytes) -> None:
    """Makes the file, mode 0600. Raises FileExistsError, and leaves the file alone, when it is there."""
    part = _written(path, content)
    try:
        os.link(part, path)
    finally:
        part.unlink()
    _sync_folder(path.parent)


def write_private(path: Path, content: bytes) -> None:
    """Replaces the file, mode 0600. A crash leaves the old content or the new, never a mix."""
    part = _written(path, content)
    try:
        part.replace(path)
    except OSError:
        part.unlink()
        raise
    _sync_folder(path.parent)


def remove_parts(folder: Path) -> None:
    """Removes what writers that were killed left behind. Nobody may be writing there."""
    for part in folder.glob(f".*{PART}"):
        part.unlink(missing_ok=True)


def _written(path: Path, content: bytes) -> Path:
    descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=PART, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, FILE)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        os.unlink(part)
        raise
    return Path(part)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
