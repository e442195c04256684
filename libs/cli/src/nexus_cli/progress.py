"""A live line while the mesh starts; plain lines when the output is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.markup import escape
from rich.status import Status

from nexus_cli.output import console
from nexus_cli.unit import Unit

__all__ = ["Progress"]

MARKS = {"running": "[green]●[/green]", "stopped": "[dim]○[/dim]"}


class Progress:
    """Shows the state of every unit until all is up; after that only what changes."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._units: dict[str, Unit] = {}
        self._status: Status | None = None
        self._up = False
        self._hint = ""
        if not quiet and sys.stdout.isatty():
            self._status = console.status("Starting")
            self._status.start()

    def changed(self, unit: Unit) -> None:
        self._units[unit.spec.name] = unit
        if self._up and not self._quiet and unit.state not in ("stopped", "held"):
            console.print(f"[dim]{unit.spec.name}: {unit.state}[/dim]")
        self._draw()

    def waiting(self, missing: Sequence[str]) -> None:
        """Shows what the gateway still waits for."""
        self._hint = f"  [dim]{escape('; '.join(missing))}[/dim]" if missing else ""
        self._draw()

    def done(self) -> None:
        self._up = True
        if self._status is not None:
            self._status.stop()
            self._status = None

    def stopping(self) -> None:
        self._up = False
        if not self._quiet:
            console.print("Stopping: running requests may finish.")

    def _draw(self) -> None:
        if self._status is not None:
            marks = "  ".join(
                f"{MARKS.get(unit.state, '[red]●[/red]')} {name}" for name, unit in self._units.items()
            )
            self._status.update(f"Starting  {marks}{self._hint}")
