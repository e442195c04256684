"""How the suites run: units are light, properties get the profile's examples, and who is alone is there."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from support.alone import ALONE
from support.parts import PARTS

TESTS = Path(__file__).parents[1]
PROFILES = TESTS / "support" / "properties.py"
TAKEN_FROM_PROFILES = {"given", "settings"}
SERVERS = {part for part in PARTS if "tiny" not in part}
"""Those that write a tiny model are light, until there is a server for it."""


def imported(file: Path) -> set[tuple[str, str]]:
    return {
        (node.module or "", name.name)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }


def test_properties_get_the_examples_of_the_profile() -> None:
    past_it = [
        str(file.relative_to(TESTS))
        for file in TESTS.rglob("*.py")
        if file != PROFILES
        for module, name in imported(file)
        if module == "hypothesis" and name in TAKEN_FROM_PROFILES
    ]
    assert past_it == []


@pytest.mark.parametrize(("set_to", "told"), [("", "dev 200 150"), ("true", "ci 10000 150")])
def test_the_profile_is_chosen_by_one_setting(set_to: str, told: str) -> None:
    say = "from support.properties import *; from hypothesis import settings as s; "
    say += "print(PROFILE, s.default.max_examples, examples(150).max_examples)"
    ran = subprocess.run(
        [sys.executable, "-c", say], env={"PYTHONPATH": str(TESTS), "CI": set_to}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert ran.stdout.strip() == told


def test_units_use_no_servers() -> None:
    heavy = [
        f"{file.relative_to(TESTS)}: {module}"
        for file in (TESTS / "unit").rglob("*.py")
        for module, _ in imported(file)
        if module in SERVERS
    ]
    assert heavy == []


@pytest.mark.parametrize("path", ALONE)
def test_who_is_said_to_be_alone_is_there(path: str) -> None:
    assert (TESTS / path).exists()
