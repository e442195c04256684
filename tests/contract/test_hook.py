"""`make hooks`: what is not formatted, or breaks the units of its package, is not committed; the rest is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.house_copy import ROOT, HouseCopy

FILE = "libs/routing/src/nexus_routing/vocabulary.py"


def commit(house: HouseCopy, text: str) -> subprocess.CompletedProcess[str]:
    (house.root / FILE).write_text(text)
    sources = [str(path) for path in house.root.glob("*/*/src")]
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "core.hooksPath=tools/hooks")
    return subprocess.run(
        ["/usr/bin/env", "git", *who, "commit", "--quiet", "--all", "--message", "Try it"],
        cwd=house.root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sources)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_staged_is_looked_at(tmp_path: Path) -> None:
    house = HouseCopy.of_this(tmp_path)
    (house.root / ".venv").symlink_to(Path(sys.prefix))
    text = (ROOT / FILE).read_text()
    unformatted = commit(house, text + "x  =  1\n")
    assert (unformatted.returncode, "make fix" in unformatted.stderr) == (1, True)
    broken = commit(house, text.replace("ACTIVE = ", "ACTIVE_ = "))
    assert (broken.returncode, "pre-commit: tests/unit/routing" in broken.stdout + broken.stderr) == (1, True)
    good = commit(house, text + "\n\n# Nothing else.\n")
    assert good.returncode == 0, good.stdout + good.stderr
    assert "passed" in good.stdout + good.stderr
    assert house.touched() in ([], [".venv"])
