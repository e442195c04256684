"""The log of a process: kept below a size, with a few older ones beside it; and what it said last."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["KEPT", "MOST_BYTES", "cap", "last_words", "tail"]

MOST_BYTES = 10 * 1024 * 1024
KEPT = 4
"""Older ones kept beside the newest, as NAME.1 to NAME.4."""
TAIL_BYTES = 64 * 1024
SEVERE = frozenset({"error", "critical", "fatal", "panic"})
EXCEPTION = re.compile(r"^(?:\w+\.)*(\w*(?:Error|Exception|Exit|Interrupt))\b")

ETCD = (
    (r"no space left", "the disk is full: make room on it"),
    (
        r"read-only file system|permission denied",
        "its folder cannot be written to: see to the folder's owner and mode",
    ),
    (r"address already in use", "its port was taken by another program meanwhile: start again"),
    (
        r"panic|crc mismatch|checksum|failed to (?:open|read|recover|load)|invalid|corrupt",
        "its data are damaged, or were written by a newer etcd. Move the folder etcd/data of the home away and start "
        "again: the registry fills by itself; policies set with `nexus policy` are lost with it and must be set again",
    ),
)
"""What is in etcd's log, and what that means here; the first that is found counts."""


def cap(log: Path, most: int = MOST_BYTES) -> None:
    """Moves a log that has grown too large aside. Processes go on appending to the same file all the while.

    Whenever this is cut off, by kill -9 too, every line is still in one of the files.
    """
    try:
        if log.stat().st_size <= most:
            return
        for number in range(KEPT, 1, -1):
            with contextlib.suppress(FileNotFoundError):
                _aside(log, number - 1).replace(_aside(log, number))
        _copy_end(log, _aside(log, 1), most)
    except OSError:  # no room for a copy: better to lose what was logged than the rest of the disk
        _aside(log, 1).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        os.truncate(log, 0)


def _aside(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")


def _copy_end(log: Path, to: Path, most: int) -> None:
    part = to.with_name(f"{log.name}.part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    with log.open("rb") as source, part.open("wb") as target:
        source.seek(max(0, source.seek(0, os.SEEK_END) - most))
        shutil.copyfileobj(source, target)
    part.replace(to)


def tail(log: Path, lines: int) -> list[str]:
    """The last lines of a log; none when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()[-lines:]
    except OSError:
        return []


def last_words(lines: Sequence[str]) -> str:
    """What a process told of its end, in one sentence; empty when nothing in its log does."""
    etcd = any("go.etcd.io" in line or '"caller":"' in line for line in lines)
    if etcd:
        text = "\n".join(lines).lower()
        return next((told for pattern, told in ETCD if re.search(pattern, text)), "")
    return next((told for line in reversed(lines) if (told := _told(line))), "")


def _told(line: str) -> str:
    event = _event(line)
    if event is not None:
        severe = str(event.get("level")) in SEVERE and "exception" not in event
        return str(event.get("detail") or event.get("event") or "") if severe else ""
    if line.startswith("nexus-"):  # settings that do not hold, told before there is a log
        return line.partition(": ")[2]
    if found := EXCEPTION.match(line):
        return f"it ended by an error of a kind nobody thought of ({found[1]})"
    return ""


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
