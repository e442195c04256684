"""The bodies of requests with placeholders where personal data was. What was replaced is kept nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from nexus_mesh.core import JsonObject

__all__ = ["Scrubber", "TooMuchError"]

Find = Callable[[str], Iterable[tuple[int, int, str]]]
STRUCTURE = frozenset({"model", "stream", "encoding_format"})
"""Keys of a body that hold words of the API, never words of a person."""
MOST_CHARACTERS, MOST_DIGITS = 200_000, 10_000
"""Of all texts of one request together. Every digit may begin a number, and to try them all takes its time."""
decode, encode = msgspec.json.decode, msgspec.json.encode


class TooMuchError(Exception):
    """More text than can be looked through in reasonable time."""


class Scrubber:
    """For one request: equal values get equal placeholders. `counts` has the places replaced, by kind.

    Raises TooMuchError.
    """

    def __init__(self, find: Find) -> None:
        self._find = find
        self._placeholders: dict[tuple[str, str], str] = {}
        self._numbers: Counter[str] = Counter()
        self._characters = self._digits = 0
        self.counts: Counter[str] = Counter()

    def body(self, body: JsonObject) -> JsonObject:
        """The whole body, every text of it: what is added to the API later is not forgotten."""
        return {
            self._text(key): value if key in STRUCTURE else self._value(value) for key, value in body.items()
        }

    def _value(self, value: Any) -> Any:
        match value:
            case str():
                return self._text(value)
            case dict():
                return {self._text(key): self._member(key, each) for key, each in value.items()}
            case list():
                return [self._value(each) for each in value]
            case _:
                return value

    def _member(self, key: str, value: Any) -> Any:
        # The arguments of a tool call are JSON in a string; whoever reads it again must still be able to.
        if key == "arguments" and isinstance(value, str):
            try:
                given = decode(value)
            except msgspec.DecodeError:
                return self._text(value)
            return encode(self._data(given)).decode()
        return self._value(value)

    def _data(self, value: Any) -> Any:
        """As _value, but a number may be somebody's too."""
        match value:
            case dict():
                return {self._text(key): self._data(each) for key, each in value.items()}
            case list():
                return [self._data(each) for each in value]
            case bool() | None:
                return value
            case int() | float():
                text = str(value)
                scrubbed = self._text(text)
                return value if scrubbed == text else scrubbed
            case _:
                return self._value(value)

    def _text(self, text: str) -> str:
        self._characters += len(text)
        self._digits += sum(map(str.isdecimal, text)) if self._characters <= MOST_CHARACTERS else 0
        if self._characters > MOST_CHARACTERS or self._digits > MOST_DIGITS:
            raise TooMuchError
        pieces: list[str] = []
        end = 0
        for start, stop, kind in self._find(text):
            pieces += (text[end:start], self._placeholder(kind, text[start:stop]))
            end = stop
            self.counts[kind] += 1
        return "".join((*pieces, text[end:])) if pieces else text

    def _placeholder(self, kind: str, value: str) -> str:
        same = (kind, "".join(c for c in value.casefold() if c.isalnum() or c in "@._"))
        if same not in self._placeholders:
            self._numbers[kind] += 1
            self._placeholders[same] = f"<{kind.upper()}_{self._numbers[kind]}>"
        return self._placeholders[same]
