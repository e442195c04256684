"""What a command prints, and which modules it has loaded when it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HEAVY = {"grpc", "google.protobuf", "pydantic", "cryptography", "rich", "aiohttp", "msgspec", "structlog"}
RUN = """
import sys
from nexus_cli.main import main
sys.argv = ["nexus", *sys.argv[1:]]
try:
    main()
finally:
    print("loaded:", *sorted(sys.modules), file=sys.stderr)
"""


def loaded(*arguments: str, home: Path) -> tuple[str, set[str]]:
    """(standard output, names of modules)."""
    given = {**os.environ, "NEXUS_HOME": str(home)}
    command = [sys.executable, "-c", RUN, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=given)
    _, found, modules = ran.stderr.partition("loaded:")
    assert found, ran
    return ran.stdout, set(modules.split())
