"""Writes docs/settings.md and docs/nexus.schema.json from what the settings say of themselves.

python tools/settings.py [--check]     (--check: says what is stale, writes nothing)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from nexus_cli.reference import page, schema

DOCS = Path(__file__).parent.parent / "docs"


def main() -> int:
    wanted = {
        DOCS / "settings.md": page(),
        DOCS / "nexus.schema.json": json.dumps(schema(), indent=1, sort_keys=True) + "\n",
    }
    stale = [file for file, text in wanted.items() if not file.exists() or file.read_text() != text]
    if "--check" in sys.argv:
        for file in stale:
            sys.stderr.write(
                f"{file.relative_to(DOCS.parent)} is not what the settings say; run `make settings`\n"
            )
        return 1 if stale else 0
    for file in stale:
        file.write_text(wanted[file])
    return 0


if __name__ == "__main__":
    sys.exit(main())
