"""Weights of the catalogue whose package is installed beside NEXUS: found by its list of files, never imported."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path

from nexus_inference_adapters.store.catalogue import Listed

__all__ = ["installed"]


def installed(row: Listed) -> Path | None:
    """The file, if it is there and is the one of the catalogue: read whole for that, once in a process."""
    return _found(row.distribution, row.file, row.sha256) if row.format == "gguf" else None


@cache
def _found(distribution: str, member: str, sha256: str) -> Path | None:
    try:
        files = metadata.files(distribution) or ()
    except metadata.PackageNotFoundError:
        return None
    for path in (Path(str(file.locate())) for file in files if file.as_posix() == member):
        if path.is_file() and _sha256(path) == sha256:
            return path
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
