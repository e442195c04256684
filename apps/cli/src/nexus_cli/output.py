"""What the command prints: tables for people, lines for other programs, JSON, and failures that say what to do.

Results go to standard output, advice to standard error. What is printed is data: nothing in it is markup, nor the name
of an emoji, nor a command to the terminal.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    console: Console

__all__ = [
    "CONFIG_EXIT",
    "Failure",
    "advise",
    "console",
    "fail",
    "on_terminal",
    "print_json",
    "print_rows",
    "shown",
]

CONFIG_EXIT = 2
"""The exit code of settings and flags that do not hold, for services and for the command."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@cache
def _console(*, stderr: bool = False) -> Console:
    """Terminals wrap for themselves, and nothing else is to wrap."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, emoji=False, markup=False, soft_wrap=True)


def __getattr__(name: str) -> object:
    if name == "console":  # made when something is printed: it is a third of what the smallest command costs
        return _console()
    raise AttributeError(name)


class Failure(Exception):
    """What went wrong, what the user can do about it, and the exit code."""

    def __init__(self, message: str, hint: str = "", *, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


def fail(failure: Failure, *, as_json: bool) -> typer.Exit:
    """Prints a failure; raise what it returns."""
    if as_json:
        sys.stderr.write(json.dumps({"error": {"message": failure.message, "hint": failure.hint}}) + "\n")
    else:
        from rich.text import Text

        _console(stderr=True).print(Text.assemble(("Error: ", "red"), failure.message))
        if failure.hint:
            _console(stderr=True).print(failure.hint)
    return typer.Exit(failure.code)


def print_json(value: Any) -> None:
    """At once, for a command that goes on may be read through a pipe."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def on_terminal() -> bool:
    """Whether people read the output; colours may be wanted elsewhere too, tables that fold are not."""
    return sys.stdout.isatty()


def advise(text: str, style: str = "dim") -> None:
    """Words about a result, for whoever reads along: they are no part of it."""
    from rich.text import Text

    _console(stderr=True).print(Text(text, style))


def shown(value: object) -> str:
    """A value on one line; what would move the cursor or break the line is a question mark."""
    return CONTROL.sub("?", str(value))


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table on a terminal, else one line for each row; a sentence on standard error when there is nothing."""
    listed = [[shown(cell) for cell in row] for row in rows]
    if not listed:
        _console(stderr=True).print(empty)
    elif on_terminal():
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in listed:
            table.add_row(*map(Text, row))
        _console().print(table, soft_wrap=False)
    else:
        sys.stdout.write("".join(f"{line}\n" for line in _lines([list(columns), *listed])))


def _lines(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Columns as wide as their widest cell."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(padded).rstrip()
