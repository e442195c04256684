"""Whether a regular expression is safe to hand to an engine that backtracks: read once, never compiled."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

_LEXEME = re.compile(
    r"(?P<open>\((?:\?(?:[:=!>]|<[=!]|P?<\w+>))?)|(?P<close>\))|(?P<repeat>[*+]|\{\d*,?\d*\})|(?P<maybe>\?)"
    r"|(?P<zero>[\^$|])|(?P<atom>\\.|\[\^?\]?(?:[^\]\\]|\\.)*\]|[^\\])",
    re.DOTALL,
)


@dataclass(slots=True)
class _Group:
    repeats: bool = False
    fixed: bool = False
    """Has something that occurs exactly once, which keeps two rounds of the group apart."""

    def add(self, repeats: bool, fixed: bool, following: str) -> None:
        self.repeats = self.repeats or repeats or following == "repeat"
        self.fixed = self.fixed or (fixed and following not in ("repeat", "maybe"))


def is_risky(pattern: str) -> bool:
    """True when groups do not balance, or one made only of repetitions is itself repeated, as in `(a+)+`."""
    found = list(_LEXEME.finditer(pattern))
    if sum(len(lexeme[0]) for lexeme in found) != len(pattern):
        return True
    kinds = [str(lexeme.lastgroup) for lexeme in found]
    groups = [_Group()]
    for kind, following in pairwise([*kinds, ""]):
        if kind == "open":
            groups.append(_Group())
        elif kind == "atom":
            groups[-1].add(False, True, following)
        elif kind == "close":
            inner = groups.pop()
            if not groups or (following == "repeat" and inner.repeats and not inner.fixed):
                return True
            groups[-1].add(inner.repeats, inner.fixed, following)
    return len(groups) != 1
