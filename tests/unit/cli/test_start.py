"""What is asked for often starts fast: what the small commands load is counted, seconds are in bench."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"grpc", "google.protobuf", "pydantic", "cryptography", "rich", "aiohttp", "msgspec", "structlog"}
RUN = """
import sys
from nexus_cli.main import main
sys.argv = ["nexus", *sys.argv[1:]]
try:
    main()
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""


def loaded(*arguments: str) -> set[str]:
    ran = subprocess.run([sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=False)
    assert "nexus" in ran.stdout + ran.stderr, ran
    return set(ran.stderr.split())


@pytest.mark.parametrize("line", ["version", "--version", "version --json", "--help", "up -h", "statsu"])
def test_a_small_command_loads_little(line: str) -> None:
    assert loaded(*line.split()) & HEAVY == set()


def test_a_command_that_asks_the_mesh_loads_what_it_needs() -> None:
    assert "grpc" in loaded("status", "--home", "/nonexistent")
