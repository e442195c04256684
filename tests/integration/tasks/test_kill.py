"""kill -9, and freezing, of the workers and the owner at random moments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_lost_or_applied_twice(where: Path | str, seed: int) -> None:
    command = [sys.executable, "-m", "support.task_chaos", "--tasks", "1000", "--every", "0.3"]
    ran = subprocess.run(
        [*command, "--seed", str(seed), "--where", str(where)],
        env={"PYTHONPATH": str(TESTS)}, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr[-2000:]
    assert "none lost, none applied twice" in ran.stdout
