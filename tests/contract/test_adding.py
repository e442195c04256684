"""AGENTS.md is true: what it says is to be touched for a new thing is enough, and a part left out is found."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from support.additions import ADDITIONS, Addition
from support.house_copy import ROOT, HouseCopy, unnamed_in_agents

NEEDED = [(name, part) for name, addition in ADDITIONS.items() for part in addition.needed]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> HouseCopy:
    return HouseCopy.of_this(tmp_path_factory.mktemp("house"))


@pytest.fixture
def copy(original: HouseCopy, tmp_path: Path) -> Callable[[], HouseCopy]:
    numbers = count()
    return lambda: original.again(tmp_path / str(next(numbers)))


def add(house: HouseCopy, addition: Addition, without: str = "") -> None:
    for name, part in addition.parts.items():
        if name != without:
            if part.file:
                part.write(house.root)
            if part.run:
                house.python(*part.run)


def failing(house: HouseCopy, addition: Addition) -> str:
    """What the first command that fails has printed."""
    for command in addition.suite:
        done = house.python(*command)
        if done.returncode:
            return f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return ""


@pytest.mark.parametrize("name", ADDITIONS)
def test_what_the_table_names_is_enough(copy: Callable[[], HouseCopy], name: str) -> None:
    house, addition = copy(), ADDITIONS[name]
    add(house, addition)
    touched = house.touched()
    assert touched
    assert unnamed_in_agents((house.root / "AGENTS.md").read_text(), addition.row, touched) == []
    assert failing(house, addition) == ""


@pytest.mark.parametrize(("name", "part"), NEEDED)
def test_a_part_that_is_missing_is_found(copy: Callable[[], HouseCopy], name: str, part: str) -> None:
    house, addition = copy(), ADDITIONS[name]
    add(house, addition, without=part)
    assert failing(house, addition)


def test_the_code_of_the_copy_is_what_runs(original: HouseCopy) -> None:
    packages = sorted(path.name for path in original.root.glob("*/*/src/nexus_*") if path.is_dir())
    assert len(packages) > 5
    names = [*packages, "nexus.types.v1.model_pb2"]
    say = f"import importlib; print([importlib.import_module(name).__file__ for name in {names}])"
    files: list[str] = ast.literal_eval(original.python("-c", say).stdout)
    assert [file for file in files if not file.startswith(f"{original.root}/")] == []


def test_a_file_the_table_does_not_name_is_told() -> None:
    table = "| to add | touch |\n|---|---|\n| a thing | its `a/<name>/`, one row in `b/table.py`; `make settings` |\n"
    touched = ["x/a/new/file.py", "x/b/table.py", "docs/settings.md", "x/b/other.py", "tests/test_new.py"]
    assert unnamed_in_agents(table, "a thing", touched) == ["x/b/other.py"]


LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


@pytest.mark.parametrize(
    "file", ["services/gateway/src/nexus_gateway/shed/tool.py", "apps/cli/src/nexus_cli/tool.py"]
)
def test_a_file_in_no_room_is_refused(copy: Callable[[], HouseCopy], file: str) -> None:
    house = copy()
    path = house.root / file
    path.parent.mkdir(exist_ok=True)
    (path.parent / "__init__.py").touch()
    path.write_text('"""Somewhere."""\n')
    done = house.python("-c", LINT)
    assert done.returncode
    assert "tool" in done.stdout or "shed" in done.stdout


def test_every_package_has_its_walls() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    walled = {name for each in contracts if each.get("exhaustive") for name in each["containers"]}
    packages = {path.name for path in ROOT.glob("*/*/src/nexus_*") if path.is_dir()}
    assert packages <= walled
