"""What is certain about a client's regular expression: read once, never compiled.

Whoever compiles it decides whether it is one. Refused here is only what no reading makes sense of, what says the same
as a shorter one but costs a backtracking engine its life, and what unrolls to more than any engine has room for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["MAX_STATES", "states", "trouble"]

MAX_STATES = 100_000
"""Of one pattern with its counted repetitions written out."""

_REST = (
    r"(?P<open>\((?:\?(?:[:=!>]|<[=!]|P?<\w+>))?)|(?P<close>\))|(?P<count>\{\d*(?:,\d*)?\})|(?P<many>[*+])"
)
_MEMBERS = r"(?:[^\]\\]|\\.)*(?:\]|\Z)"
_MAYBE = r"|(?P<maybe>\?)|(?P<bar>\|)|(?P<zero>[\^$])"
# "]" right after "[" is a member of the class for some, and its end for others. A class without an end takes the rest:
# were it left to be looked for again at each further "[", a client could have us do so for minutes.
_READINGS = tuple(
    re.compile(rf"{_REST}{_MAYBE}|(?P<atom>\\.|{bracket}|[^\\])", re.DOTALL)
    for bracket in (rf"\[\^?\]?{_MEMBERS}", rf"\[{_MEMBERS}")
)
_NUMBER = re.compile(r"\d+")


@dataclass(slots=True)
class _Group:
    """`parts`: what stands in it side by side; `loops`: how many of those are repeated without end."""

    states: int = 0
    parts: int = 0
    loops: int = 0

    def add(self, states: int, loops: bool, following: tuple[str, str]) -> None:
        kind, text = following
        times = (
            max(map(int, (digits[:9] for digits in _NUMBER.findall(text))), default=1)
            if kind == "count"
            else 1
        )
        self.states = min(self.states + states * max(times, 1), MAX_STATES + 1)
        self.parts += 1
        self.loops += loops or kind == "many"

    @property
    def is_loop(self) -> bool:
        """Whether it is nothing but one endless repetition."""
        return self.parts == 1 and self.loops == 1


def trouble(pattern: str) -> str:
    """What is wrong with `pattern` however it is read, completing "must ..."; empty = nothing that is certain."""
    found = [_read(pattern, reading) for reading in _READINGS]
    if any(isinstance(each, int) for each in found):
        return ""
    return str(found[0])


def states(pattern: str) -> int:
    """The size of `pattern` written out, at least 0; of something that is no pattern, 0."""
    return max(
        (each for each in (_read(pattern, reading) for reading in _READINGS) if isinstance(each, int)),
        default=0,
    )


def _read(pattern: str, reading: re.Pattern[str]) -> int | str:
    """The states of the pattern, or what is wrong with it."""
    lexemes = [(str(each.lastgroup), each[0]) for each in reading.finditer(pattern)]
    if sum(len(text) for _, text in lexemes) != len(pattern):
        return "be a regular expression: it ends in the middle of an escape"
    groups = [_Group()]
    for (kind, _), following in pairwise([*lexemes, ("", "")]):
        if kind == "open":
            groups.append(_Group())
        elif kind == "atom":
            groups[-1].add(1, False, following)
        elif kind in ("bar", "zero"):
            groups[-1].parts += 1
        elif kind == "close":
            inner = groups.pop()
            if not groups:
                return "be a regular expression: its parentheses do not balance"
            if inner.is_loop and following[0] == "many":
                return "not repeat a repetition, as (a+)+ does; (a+) says the same"
            groups[-1].add(max(inner.states, 1), inner.is_loop, following)
    if len(groups) != 1:
        return "be a regular expression: its parentheses do not balance"
    if groups[0].states > MAX_STATES:
        return f"not repeat more than {MAX_STATES} parts in all"
    return groups[0].states
