"""A text that grows, cut into what can be spoken already: whole sentences."""

from __future__ import annotations

import re

__all__ = ["Sentences", "is_spoken"]

LONGEST = 400
"""Characters without an end after which it is cut at a comma or a space."""
_END = re.compile(r"""[.!?…]+["'”’)\]*_]*(?=\s)|[。！？]+["”’」』）]*|\n+""")
_COMMA = re.compile(r"[,;:–—](?=\s)")
_WORD = re.compile(r"(\S+)$")
_SHORT = frozenset(
    {"mr", "mrs", "ms", "dr", "prof", "st", "no", "vs", "e.g", "i.e", "cf", "fig", "approx", "z.b"}
)
"""Words whose full stop ends no sentence. A single letter's does not either, nor a number's at a line's beginning."""


class Sentences:
    """Give it a text as it comes; what it hands out, put together, is that text."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> list[str]:
        """The sentences that are whole now, each with the space behind it."""
        self._rest += text
        found: list[str] = []
        while (end := self._end()) is not None:
            found.append(self._rest[:end])
            self._rest = self._rest[end:]
        return found

    def rest(self) -> str:
        """What is left, at the end of the text."""
        left, self._rest = self._rest, ""
        return left

    def _end(self) -> int | None:
        for match in _END.finditer(self._rest):
            if match[0] == "." and _is_short(self._rest[: match.start()]):
                continue
            end = match.end()
            while end < len(self._rest) and self._rest[end].isspace():
                end += 1
            if is_spoken(self._rest[:end]):
                return end
        if len(self._rest) <= LONGEST:
            return None
        commas = [match.end() for match in _COMMA.finditer(self._rest, 0, LONGEST)]
        return commas[-1] if commas else self._rest.rfind(" ", 1, LONGEST) + 1 or LONGEST


def is_spoken(text: str) -> bool:
    """Whether there is anything to say in it."""
    return any(each.isalnum() for each in text)


def _is_short(before: str) -> bool:
    word = _WORD.search(before)
    if word is None:
        return False
    said = word[1].lower().lstrip("(\"'“")
    return said in _SHORT or (len(said) == 1 and said.isalpha()) or (said.isdigit() and len(said) < 3)
