"""Doctor tells a foreign package under a name of ours, with files of a real distribution."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from nexus_cli.doctor_ahead import foreign_packages
from nexus_mesh.core import VERSION


def installed(folder: Path, name: str, version: str) -> None:
    about = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_a_stranger_under_our_name_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "nexus-stranger", "3.1.6")
    installed(tmp_path, "nexus-own", f"{VERSION}+mesh")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    owners = {"nexus_mesh": ["nexus-own", "nexus-stranger"], "other": ["nexus-stranger"]}
    assert foreign_packages(owners, ["nexus_mesh.core", "other"]) == [("nexus_mesh", "nexus-stranger")]
    assert foreign_packages({"nexus_mesh": ["nexus-own"]}, ["nexus_mesh"]) == []
