"""What is asked for often starts fast: what the small commands load is counted, seconds are in bench."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cli_modules import HEAVY, loaded

SMALL = (
    "version",
    "--version",
    "version --json",
    "--help",
    "up -h",
    "statsu",
    "__complete st",
    "__complete load m",
    "__complete logs --level w",
)


@pytest.mark.parametrize("line", SMALL)
def test_a_small_command_loads_little(line: str, tmp_path: Path) -> None:
    _, modules = loaded(*line.split(), home=tmp_path)
    assert modules & HEAVY == set()


def test_a_command_that_asks_the_mesh_loads_what_it_needs(tmp_path: Path) -> None:
    assert "grpc" in loaded("status", home=tmp_path)[1]
