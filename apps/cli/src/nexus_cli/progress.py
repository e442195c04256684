"""A live line while the mesh starts; plain lines when the output is no terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rich.status import Status
from rich.text import Text

from nexus_cli.output import console, on_terminal
from nexus_cli.unit import Unit

__all__ = ["Progress"]

LINE_SECONDS = 5.0
MARKS = {"running": ("●", "green"), "stopped": ("○", "dim")}


class Progress:
    """Shows the state of every unit until all is up; after that only what changes.

    On a terminal that is a live line, elsewhere a plain one every few seconds.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._units: dict[str, Unit] = {}
        self._ends: dict[str, str] = {}
        self._repeated: set[str] = set()
        self._status: Status | None = None
        self._up = False
        self.missing: list[str] = []
        if not quiet and on_terminal():
            self._status = console.status("Starting")
            self._status.start()

    def changed(self, unit: Unit) -> None:
        """Tells of a unit that has started or ended; of one that ends again and again for the same reason, once."""
        self._units[unit.spec.name] = unit
        if not self._quiet and unit.state not in ("stopped", "held") and self._is_news(unit):
            console.print(Text(f"{unit.spec.name}: {_described(unit)}", "dim"))
        self._draw()

    def waiting(self, missing: Sequence[str]) -> None:
        """Shows what the gateway still waits for."""
        self.missing = list(missing)
        self._draw()

    async def tell(self) -> None:
        """Says from time to time what is waited for, where there is no live line, until all is up."""
        while not self._quiet and not self._up:
            await asyncio.sleep(LINE_SECONDS)
            if self._status is None and not self._up:
                states = ", ".join(f"{name} {unit.state}" for name, unit in self._units.items())
                console.print(f"Starting: {'; '.join([states or 'nothing runs yet', *self.missing])}")

    def done(self) -> None:
        self._up = True
        if self._status is not None:
            self._status.stop()
            self._status = None

    def stopping(self) -> None:
        self.done()
        self._quiet, quiet = True, self._quiet
        if not quiet:
            console.print("Stopping: running requests may finish.")

    def _is_news(self, unit: Unit) -> bool:
        name = unit.spec.name
        if unit.state == "running":
            return self._up and name not in self._repeated
        text = _described(unit)
        if self._ends.get(name) == text:
            self._repeated.add(name)
            return False
        self._ends[name] = text
        self._repeated.discard(name)
        return True

    def _draw(self) -> None:
        if self._status is not None:
            line = Text("Starting")
            for name, unit in self._units.items():
                mark, style = MARKS.get(unit.state, ("●", "red"))
                line.append("  ").append(mark, style).append(f" {name}")
            self._status.update(line.append(f"  {'; '.join(self.missing)}", "dim"))


def _described(unit: Unit) -> str:
    words = "" if unit.state == "running" else unit.last_words()
    return f"{unit.state}: {words}" if words else unit.state
