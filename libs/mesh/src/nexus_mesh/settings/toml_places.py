"""Where in a TOML file something stands, for people: its line, and entries of lists by their names."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as File
from typing import Any, cast

from nexus_mesh.settings.problems import path_of

__all__ = ["TomlFile", "line_of", "named"]

Path = tuple[str | int, ...]
HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?|(?:[^\[\]\"']|\"[^\"]*\"|'[^']*')+?)\s*\]\]?\s*(?:#.*)?$")
KEY = re.compile(
    r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)


class TomlFile:
    """A file that one service's settings came from: its own table, and `shared` ones by the fields that take them."""

    def __init__(
        self, path: File | None, document: Mapping[str, Any], service: str, shared: Mapping[str, str]
    ) -> None:
        self._path = path
        self._text = "" if path is None else path.read_text("utf-8")
        self._document = document
        self._service = service
        self._shared = shared

    def place(self, loc: Path) -> str:
        """A setting as people find it: an entry of a list by its name."""
        return path_of(*named(self._document, self._below(loc))[-len(loc) :]) if loc else ""

    def line(self, loc: Path) -> str:
        """` (FILE, line N)`, if it comes from the file."""
        below = self._below(loc)
        if self._path is None or not loc or below[0] not in self._document:
            return ""
        number = line_of(self._text, below)
        return "" if number is None else f" ({self._path.name}, line {number})"

    def _below(self, loc: Path) -> Path:
        table = self._shared.get(str(loc[0])) if loc else None
        return (self._service, *loc) if table is None else (table, *loc[1:])


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """The line, from 1, of the key or the table at a path; else of the nearest table around it. None without one."""
    wanted, found = tuple(path), dict[Path, int]()
    for place, number in _places(text):
        found[place] = number
        for length in range(1, len(place)):
            found.setdefault(place[:length], number)
    while wanted:
        if wanted in found:
            return found[wanted]
        wanted = wanted[:-1]
    return None


def named(document: Mapping[str, Any], path: Sequence[str | int]) -> list[str | int]:
    """The path with the `name` of each entry of a list in the place of its number, where it has one."""
    names: list[str | int] = []
    here: Any = document
    for part in path:
        try:
            here = here[part]
        except (LookupError, TypeError):
            here = None
        name = _table(here).get("name") if isinstance(part, int) else None
        names.append(name if isinstance(name, str) else part)
    return names


def _places(text: str) -> Iterator[tuple[Path, int]]:
    """Every table's head and every key on a line of its own, in order; the text is valid TOML."""
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := HEADER.match(line):
            keys = _keys(header[2])
            base = _indexed(keys[:-1], counts)
            if header[1] == "[[":
                whole = (*base, keys[-1])
                counts[whole] = counts.get(whole, -1) + 1
                table = (*whole, counts[whole])
            else:
                table = _indexed(keys, counts)
            yield table, number
        elif key := KEY.match(line):
            place = (*table, *_keys(key[1]))
            yield place, number


def _indexed(keys: Sequence[str], counts: Mapping[Path, int]) -> Path:
    """The path of a table below arrays of tables: each has the number of its newest entry."""
    path: Path = ()
    for key in keys:
        path = (*path, key)
        if path in counts:
            path = (*path, counts[path])
    return path


def _keys(dotted: str) -> list[str]:
    """The parts of a dotted key, quotes taken off."""
    try:
        here = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        return [dotted]
    keys: list[str] = []
    while here:
        ((key, below),) = here.items()
        keys.append(key)
        here = _table(below)
    return keys


def _table(value: object) -> dict[str, Any]:
    """The value, if it is a table; else an empty one."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}
