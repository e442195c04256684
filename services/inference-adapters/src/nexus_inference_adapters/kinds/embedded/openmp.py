"""GNU's OpenMP library, which llama.cpp's wheel asks for and does not bring: a machine without a compiler has none."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["library_path"]

NAME = "libgomp.so.1"
LENDER = "sentencepiece"
"""Its wheel carries that library for itself, under a name of its own. Nothing else of it is used."""


@contextmanager
def library_path() -> Iterator[dict[str, str]]:
    """The variable that has a child find the library; nothing where the system has it, or nobody."""
    if sys.platform != "linux" or _is_here() or (lent := _lent()) is None:
        yield {}
        return
    with TemporaryDirectory(prefix="nexus-openmp-") as place:
        (Path(place) / NAME).symlink_to(lent)
        yield {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, (place, os.environ.get("LD_LIBRARY_PATH"))))}


def _is_here() -> bool:
    try:
        ctypes.CDLL(NAME)
    except OSError:
        return False
    return True


def _lent() -> Path | None:
    try:
        carried = files(LENDER) or []
    except PackageNotFoundError:
        return None
    found = (file for file in carried if file.name.startswith("libgomp") and ".so" in file.name)
    return next((Path(str(file.locate())).resolve() for file in found), None)
