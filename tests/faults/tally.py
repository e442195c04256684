"""What became of failures in mid-stream, and what they have in common."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from faults.history import Operation

__all__ = ["CLIENTS", "MOST_TOKENS", "Tally"]

MOST_TOKENS = 50
"""A stream fails after that many, or less."""
CLIENTS = ("sdk", "sdk", "sync", "sync", "raw")


@dataclass(slots=True)
class Tally:
    """What became of all of them. `wrong` has one line for each that was not told as a failure."""

    kinds: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    clients: Counter[str] = field(default_factory=Counter)
    normal: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def injected(self) -> int:
        return self.kinds.total()

    def note(self, kind: str, operation: Operation, *, cut: bool = False) -> None:
        """`cut`: who could have told the client is gone itself, so that a broken connection is all it can see."""
        self.kinds[kind] += 1
        self.clients[operation.client] += 1
        self.codes[operation.outcome.split(" ", 1)[0] if cut else operation.outcome] += 1
        self.normal += operation.normal
        if operation.ok or (operation.dishonest and not (cut and operation.outcome.startswith("cut"))):
            self.wrong.append(f"{kind}: {operation}")

    def __str__(self) -> str:
        lists = (
            f"{name}: {', '.join(f'{key} x{count}' for key, count in counter.most_common())}"
            for name, counter in (
                ("by kind", self.kinds),
                ("by client", self.clients),
                ("told as", self.codes),
            )
        )
        return "\n  ".join(
            (f"{self.normal} of {self.injected} looked normal, {len(self.wrong)} wrong", *lists)
        )
