"""Rooms have faces: what stands in `__all__` is there, and whoever is outside goes through it."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {folder.name: folder for folder in ROOT.glob("*/*/src/nexus_*") if folder.is_dir()}
FACES = {"nexus_mesh", "nexus_gateway", "nexus_inference_adapters", "nexus_store"}
"""Packages whose rooms are entered by their faces alone."""


def rooms() -> dict[str, Path]:
    return {
        f"{package}.{face.parent.name}": face
        for package in FACES
        for face in SOURCES[package].glob("*/__init__.py")
    }


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def imports(file: Path) -> Iterator[ast.ImportFrom]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node


@pytest.mark.parametrize("room", sorted(rooms()))
def test_a_face_is_true(room: str) -> None:
    face = importlib.import_module(room)
    assert face.__doc__
    assert face.__all__ == sorted(set(face.__all__), key=_order)
    for name in face.__all__:
        assert hasattr(face, name), name


def _order(name: str) -> tuple[int, str]:
    """Constants, classes, then the rest: as the formatter sorts."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def test_whoever_is_outside_goes_through_the_face() -> None:
    known, passing_by = rooms(), []
    for package, folder in SOURCES.items():
        for file in folder.rglob("*.py"):
            parts = (package, *file.relative_to(folder).with_suffix("").parts)
            own = room_of(".".join(parts))
            for node in imports(file):
                room = room_of(node.module or "")
                if room in known and room != own and node.module != room:
                    passing_by.append(f"{file.relative_to(ROOT)}: {node.module}")
    assert not passing_by
