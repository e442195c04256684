"""What images and papers name is there: nobody imports it before it runs in a container."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE = re.compile(r'-m[ ",]+(nexus_[a-z_.]*[a-z])')
FILE = re.compile(r"`(nexus_[a-z_]+/[a-z_/]+\.py)`")
NAMING = [*ROOT.glob("compose/*"), *ROOT.glob("tools/containers/*")]
PAPERS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


def found(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    return sorted({name for file in files if file.is_file() for name in pattern.findall(file.read_text())})


@pytest.mark.parametrize("module", found(MODULE, NAMING))
def test_a_module_that_is_started_is_there(module: str) -> None:
    assert importlib.util.find_spec(module) is not None


@pytest.mark.parametrize("file", found(FILE, PAPERS))
def test_a_file_that_is_named_is_there(file: str) -> None:
    assert list(ROOT.glob(f"*/*/src/{file}"))


def test_there_are_some_of_both() -> None:
    assert "nexus_mesh.process.healthcheck" in found(MODULE, NAMING)
    assert len(found(FILE, PAPERS)) > 5
