"""What people are told to import is in the environment that `make up` makes, which has nothing of the developers'."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMPORT = re.compile(r"^(?:from|import) (nexus_[a-z_]+)", re.MULTILINE)


def declared(member: Path) -> list[str]:
    return tomllib.loads((member / "pyproject.toml").read_text())["project"]["dependencies"]


def members(declared: list[str]) -> set[str]:
    return {name for each in declared if (name := re.split(r"[=<>~;\[ ]", each)[0]).startswith("nexus-")}


def installed() -> set[str]:
    """The members that `make up` installs, by their modules."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert "--only-group run " in (ROOT / "Makefile").read_text()
    folders = {
        tomllib.loads(each.read_text())["project"]["name"]: each.parent
        for each in ROOT.glob("*/*/pyproject.toml")
    }
    found, waiting = set[str](), members(groups["run"])
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= members(declared(folders[name])) - found
    return {name.replace("-", "_") for name in found}


def test_what_the_papers_import_is_there() -> None:
    papers = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    told = {module for paper in papers for module in IMPORT.findall(paper.read_text())}
    assert "nexus_client" in told
    assert told <= installed()
