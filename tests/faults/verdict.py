"""What came of playing a fault, and of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from faults.history import Load
from faults.table import Fault

__all__ = ["Span", "Verdict", "sum_up"]


@dataclass(slots=True)
class Span:
    """The times of a play: the fault began, was over, and all was well again."""

    began: float
    over: float = 0.0
    well: float = 0.0


@dataclass(slots=True)
class Verdict:
    """What is wrong, one line each; `void` when the fault was not there to be judged."""

    fault: Fault
    seed: int
    victim: str
    met: Counter[str] = field(default_factory=Counter)
    """How the requests that met the fault looked, those on the victim's own model first named `solo`."""
    load: Load = field(default_factory=Load)
    """Before the fault."""
    recovery: float = 0.0
    """Seconds from its end until all was well."""
    wrong: list[str] = field(default_factory=list)
    void: str = ""

    @property
    def state(self) -> str:
        return "VOID" if self.void else "WRONG" if self.wrong else "held"

    def __str__(self) -> str:
        met = ", ".join(f"{outcome} x{count}" for outcome, count in sorted(self.met.items()))
        state = f"{self.state}: {self.void}" if self.void else self.state
        lines = "".join(f"\n    {line}" for line in self.wrong[:10])
        return (
            f"seed {self.seed}, {self.fault.name} at {self.victim} ({self.load} before it,"
            f" well {self.recovery:.1f} s after it): {state}; {met}{lines}"
        )


def sum_up(verdicts: Sequence[Verdict]) -> str:
    states = Counter(verdict.state for verdict in verdicts)
    least = Load(
        min(verdict.load.whole for verdict in verdicts), min(verdict.load.streams for verdict in verdicts)
    )
    longest = max(verdicts, key=lambda verdict: verdict.recovery)
    return (
        f"{len(verdicts)} plays: {states['held']} held, {states['WRONG']} wrong, {states['VOID']} void;"
        f" least load {least}; longest until well {longest.recovery:.1f} s ({longest.fault.name})"
    )
