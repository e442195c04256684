"""The names under which other languages generate the contract, by one rule."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROTOS = Path(__file__).parents[2] / "protos"
FILES = sorted(PROTOS.rglob("*.proto"))
FOREIGN = {
    "mvccpb": ("Nexus.Etcd.Mvcc", "etcd/mvccpb;mvccpb", "etcd.mvccpb"),
    "etcdserverpb": ("Nexus.Etcd.Server", "etcd/etcdserverpb;etcdserverpb", "etcd.etcdserverpb"),
}
"""etcd's packages keep its own names on the wire."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_file_says_its_names(file: Path) -> None:
    """E12: `protoc --go_out`, `--java_out` and `--csharp_out` need no flag for a file."""
    text = file.read_text()
    package = str(re.findall(r"^package ([\w.]+);$", text, re.MULTILINE)[0])
    if package in FOREIGN:
        csharp, go, java = FOREIGN[package]
    else:
        _, name, version = package.split(".")
        csharp = f"Nexus.{name.capitalize()}.{version.upper()}"
        go, java = f"{name}/{version};{name}{version}", f"{name}.{version}"
    assert dict(re.findall(r'^option (\w+) = "?([^";]+(?:;\w+)?)"?;$', text, re.MULTILINE)) == {
        "csharp_namespace": csharp,
        "go_package": f"nexus.internal/protos/{go}",
        "java_multiple_files": "true",
        "java_outer_classname": f"{file.stem.capitalize()}Proto",
        "java_package": f"internal.nexus.{java}",
    }
