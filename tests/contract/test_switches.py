"""The switches of the fault suite still name what is there: what has moved would be found after an hour else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from faults.rigged import SWITCHES

TESTS = Path(__file__).parents[1]
RIGS = [
    (switch, module) for switch, rigs in SWITCHES.items() for module, rig in rigs.items() if rig is not None
]


@pytest.mark.parametrize(("switch", "module"), RIGS)
def test_a_switch_finds_what_it_replaces(switch: str, module: str) -> None:
    """In a process of its own, which has the guard no more."""
    throw = f"from faults.rigged import SWITCHES; SWITCHES[{switch!r}][{module!r}]()"
    done = subprocess.run(
        [sys.executable, "-c", throw], cwd=TESTS, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
