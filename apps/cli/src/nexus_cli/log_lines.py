"""`nexus logs`: what the processes of this home logged, as lines for people, in the order of time."""

from __future__ import annotations

import difflib
import json
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nexus_cli.layout import Layout
from nexus_cli.logs import tail
from nexus_cli.output import Failure, console, shown

__all__ = ["Line", "print_logs", "read"]

LOOK_SECONDS = 0.3
LEVELS = ("debug", "info", "warning", "error")
LEVEL_WORDS = {"warn": "warning"}
"""Of etcd, in the words of ours."""
STYLES = {"warning": "yellow", "error": "red", "critical": "red", "fatal": "red"}
TIMES, EVENTS, TOLD = (
    ("timestamp", "ts"),
    ("event", "msg"),
    ("level", "service", "component", "caller", "logger"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log. `time` is ISO 8601 in UTC, or empty; `fields` is what else it says."""

    service: str
    raw: str
    time: str = ""
    level: str = ""
    event: str = ""
    fields: str = ""

    def __str__(self) -> str:
        start = f"{self.time[:19]:19}  {self.service:9}  {self.level:7}  "
        return shown(f"{start}{self.event}{'  ' if self.fields else ''}{self.fields}")


def print_logs(layout: Layout, service: str, *, lines: int, level: str, follow: bool, as_json: bool) -> None:
    """Prints the last lines, and what comes after them when it follows, until Ctrl-C. `as_json`: as they stand there.

    Raises Failure when nothing of that name has a log.
    """
    files = _files(layout, service)
    ends = {file: _size(file) for file in files.values()}
    last = [line for name, file in files.items() for line in read(name, tail(file, lines))]
    ordered = sorted(last, key=lambda line: line.time)  # stable: what has no time stays where it stands
    _print([line for line in ordered if _wanted(line, level)][-lines:], as_json=as_json)
    while follow:
        time.sleep(LOOK_SECONDS)
        for name, file in _files(layout, service).items():
            new, ends[file] = _new(file, ends.get(file, 0))
            _print([line for line in read(name, new) if _wanted(line, level)], as_json=as_json)


def read(service: str, lines: Iterable[str]) -> list[Line]:
    """Lines of a log, understood as far as they can be. One without a time has that of the line before it."""
    found: list[Line] = []
    for raw in lines:
        before = found[-1] if found else Line(service, "")
        try:
            told = json.loads(raw)
        except ValueError:
            told = None
        if isinstance(told, dict):
            found.append(_line(service, raw, told))
        else:
            found.append(Line(service, raw, before.time, before.level, raw))
    return found


def _line(service: str, raw: str, told: Mapping[str, object]) -> Line:
    def first(names: Iterable[str]) -> str:
        return next((str(told[name]) for name in names if name in told), "")

    left = {name: value for name, value in told.items() if name not in (*TIMES, *EVENTS, *TOLD)}
    words = " ".join(f"{name}={_value(value)}" for name, value in left.items())
    level = str(told.get("level", ""))
    return Line(service, raw, first(TIMES), LEVEL_WORDS.get(level, level), first(EVENTS), words)


def _value(value: object) -> str:
    return value if isinstance(value, str) and " " not in value else json.dumps(value, ensure_ascii=False)


def _wanted(line: Line, level: str) -> bool:
    if line.level not in LEVELS:
        return True
    return LEVELS.index(line.level) >= LEVELS.index(level)


def _print(lines: Iterable[Line], *, as_json: bool) -> None:
    for line in lines:
        if as_json:
            sys.stdout.write(f"{line.raw}\n")
        else:
            console.print(str(line), style=STYLES.get(line.level))
    sys.stdout.flush()


def _files(layout: Layout, service: str) -> dict[str, Path]:
    there = {file.stem: file for file in sorted((layout.home / "logs").glob("*.log"))}
    if not there:
        raise Failure(
            f"There are no logs in {layout.home}.", "Start a mesh with `nexus up`, or give its --home."
        )
    if not service:
        return there
    if service not in there:
        near = difflib.get_close_matches(service, there, 1, 0.5)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        raise Failure(f"Nothing here is called {service!r}.", f"{guess}There are {', '.join(there)}.")
    return {service: there[service]}


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _new(file: Path, after: int) -> tuple[list[str], int]:
    """Whole lines behind a place, and the place behind them. A log that was cut begins again."""
    if _size(file) < after:
        after = 0
    try:
        with file.open("rb") as opened:
            opened.seek(after)
            data = opened.read()
    except OSError:
        return [], after
    whole = data[: data.rfind(b"\n") + 1]
    return whole.decode("utf-8", "replace").splitlines(), after + len(whole)
