"""What the command prints: tables for people, JSON for programs, and failures that say what to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

__all__ = ["CONFIG_EXIT", "Failure", "console", "fail", "print_json", "print_rows"]

CONFIG_EXIT = 2
"""The exit code of settings and flags that do not hold, for services and for the command."""
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


class Failure(Exception):
    """What went wrong, and what the user can do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def fail(failure: Failure, *, as_json: bool, code: int = 1) -> typer.Exit:
    """Prints a failure; raise what it returns."""
    if as_json:
        sys.stderr.write(json.dumps({"error": {"message": failure.message, "hint": failure.hint}}) + "\n")
    else:
        errors.print(f"[red]Error:[/red] {escape(failure.message)}", soft_wrap=True)
        if failure.hint:
            errors.print(failure.hint, markup=False, soft_wrap=True)
    return typer.Exit(code)


def print_json(value: Any) -> None:
    """At once, for a command that goes on may be read through a pipe."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table, or a sentence when there is nothing to show."""
    listed = [[str(cell) for cell in row] for row in rows]
    if not listed:
        console.print(empty, markup=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in listed:
        table.add_row(*map(Text, row))  # a cell is data: what looks like markup in it is not meant as such
    console.print(table, soft_wrap=not sys.stdout.isatty())
