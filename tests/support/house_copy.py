"""A copy of the repository in which things are added and left out, with this environment and the copy's code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

__all__ = ["ROOT", "HouseCopy", "unnamed_in_agents"]

ROOT = Path(__file__).parents[2]
MADE_BY = {
    "make settings": ("docs/settings.md", "docs/nexus.schema.json"),
    "make http-page": ("docs/http.md",),
    "make clients-page": ("docs/clients.md",),
    "make proto": ("libs/protos/src/nexus",),
}
WHO_COMMITS = ("-c", "user.name=test", "-c", "user.email=test@localhost")


class HouseCopy:
    """Committed, so that git says what was touched since."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def of_this(cls, root: Path) -> HouseCopy:
        """What git knows of, as it lies here."""
        listed = _git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        _git(root, "init", "--quiet")
        _git(root, "add", "--all")
        _git(root, *WHO_COMMITS, "commit", "--quiet", "--no-verify", "--message", "As it was")
        return cls(root)

    def again(self, root: Path) -> HouseCopy:
        """Another one, as this is."""
        shutil.copytree(self.root, root)
        return HouseCopy(root)

    def touched(self) -> list[str]:
        """Files changed or new, by their paths."""
        lines = _git(self.root, "status", "--porcelain", "--untracked-files=all").splitlines()
        return sorted(line[3:] for line in lines)

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs with the code of the copy before that of the environment."""
        sources = [str(path) for path in sorted(self.root.glob("*/*/src"))]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sources)}
        for name in ("PYTEST_ADDOPTS", "CI"):  # CI would have properties be tried 10,000 times once more
            environment.pop(name, None)
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )


def unnamed_in_agents(text: str, what: str, touched: Iterable[str]) -> list[str]:
    """Those of the touched files that the row about `what` does not name. A test of its own each may have."""
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("|")]
    (cell,) = [touch for name, touch in rows if name.strip() == what]
    named: list[str] = []
    for token in cell.split("`")[1::2]:
        makes, *targets = token.split()
        if makes == "make":
            named += [path for target in targets for path in MADE_BY[f"make {target}"]]
        else:
            named.append(re.sub("<[a-z]+>", "*", token).rstrip("/"))
    return [
        path
        for path in touched
        if not path.startswith("tests/")
        and not any(fnmatchcase(path, each) for token in named for each in (f"*{token}", f"*{token}/*"))
    ]


def _git(folder: Path, *arguments: str) -> str:
    command = [shutil.which("git") or "git", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
