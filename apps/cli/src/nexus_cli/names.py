"""What Tab offers without asking anybody: names that the supervisor of a running mesh keeps in its home.

They are for completion alone; whoever acts asks the mesh.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from nexus_mesh.core import write_private

from nexus_cli.layout import Layout

__all__ = ["EVERY_SECONDS", "GOOD_SECONDS", "read", "write"]

EVERY_SECONDS = 3.0
"""How old they may be while all is well."""
GOOD_SECONDS = 15.0
"""For how long they are offered after the mesh was last heard."""

Names = Mapping[str, Sequence[str]]
"""`models`, `backends`, `keys` -> their names. Never a secret."""


def read(layout: Layout, kind: str) -> list[str]:
    """Nothing when no mesh runs from this home, or its supervisor has not heard of it lately."""
    try:
        if time.time() - _file(layout).stat().st_mtime > GOOD_SECONDS or layout.holder() is None:
            return []
        return [str(name) for name in json.loads(_file(layout).read_text())[kind]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def write(layout: Layout, names: Names) -> None:
    """Says that they are good from now on. The disk is written only when they have changed."""
    file, text = _file(layout), json.dumps(names).encode()
    if file.exists() and file.read_bytes() == text:
        os.utime(file)
    else:
        write_private(file, text)


def _file(layout: Layout) -> Path:
    return layout.home / "run" / "names.json"
