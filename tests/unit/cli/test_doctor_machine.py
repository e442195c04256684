"""Doctor tells a foreign package under a name of ours, with files of real distributions, and what pulls have left."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from nexus_cli.doctor_machine import foreign_packages, leftovers
from nexus_cli.layout import Layout
from nexus_mesh.core import VERSION

Install = Callable[..., None]
MODULES = ["nexus_mesh.core", "nexus.types", "os"]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a distribution where Python looks first: its metadata, and the modules it has."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def install(name: str, *modules: str, version: str = VERSION, classifier: str = "") -> None:
        about = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        about.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (about / "METADATA").write_text(text + (f"Classifier: {classifier}\n" if classifier else ""))
        (about / "top_level.txt").write_text("\n".join(modules))

    return install


def found() -> list[tuple[str, str]]:
    return foreign_packages(packages_distributions(), MODULES)


def test_this_environment_has_none() -> None:
    assert found() == []


def test_a_stranger_under_our_name_is_found_whatever_its_version(install: Install) -> None:
    install("nexus-mesh", "coordination")
    install("Nexus_Protos", "protos")
    assert found() == [
        ("nexus-mesh", "bears a name of ours"),
        ("nexus-protos", "bears a name of ours"),
    ]


def test_a_stranger_with_files_in_a_module_of_ours_is_found(install: Install) -> None:
    install("some-agents", "nexus_mesh", "agents")
    install("nexus", "nexus")
    assert found() == [
        ("nexus", "has files in our module nexus"),
        ("some-agents", "has files in our module nexus_mesh"),
    ]


def test_ours_are_ours(install: Install) -> None:
    """The one distribution by its name; a member by what no public index takes."""
    install("nexus-inference-mesh", "nexus", "nexus_mesh", version="9")
    install("nexus-mesh", "nexus_mesh", version="9", classifier="Private :: Do Not Upload")
    assert found() == []


def test_a_strangers_name_that_is_none_of_ours_is_its_own(install: Install) -> None:
    install("nexus-agents", "nexus_agents")
    assert found() == []


async def test_parts_that_nobody_went_on_with_are_told(tmp_path: Path) -> None:
    pulling = tmp_path / "models" / ".pulling"
    assert await leftovers(Layout(tmp_path)) == []
    pulling.mkdir(parents=True)
    for name in ("old.whl.part", "now.gguf.part"):
        (pulling / name).write_bytes(b"x" * 2_000_000)
    long_ago = time.time() - 100_000
    os.utime(pulling / "old.whl.part", (long_ago, long_ago))
    (told,) = await leftovers(Layout(tmp_path))
    assert told.ok
    assert told.detail.startswith("1 ")
    assert "2 MB" in told.detail
    assert "old.whl.part" in told.advice
    assert "now.gguf.part" not in told.advice
