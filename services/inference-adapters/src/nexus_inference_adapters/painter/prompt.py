"""Reads a prompt as a scene, and tells every word of it that means nothing to the painter."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from nexus_inference_adapters.painter.scene import ANY, GROUPS, Group, Scene
from nexus_inference_adapters.painter.vocabulary import (
    APART,
    COLOURS,
    COUNTS,
    FILLERS,
    NOUNS,
    PLACES,
    RELATIONS,
    SIZES,
)

__all__ = ["Reading", "read"]


@dataclass(frozen=True, slots=True)
class Reading:
    """The scene of a prompt, the words that it has and the painter has not, and what else can't be painted."""

    scene: Scene | None
    unknown: tuple[str, ...] = ()
    problem: str | None = None


_NOUN = {word: noun for noun, others in NOUNS.items() for word in (noun, *others)}
_SEVERAL = {word for words in NOUNS.values() for word in words if word.endswith("s") and word != "plus"}
"""Nouns that, without a count, are drawn three times."""
_COLOUR = {word: colour for colour, (_, others) in COLOURS.items() for word in (colour, *others)}
_PLACE = {phrase: place for place, phrases in PLACES.items() for phrase in phrases}
_OPPOSITE = {"left": "right", "top": "bottom", "top left": "bottom right", "top right": "bottom left"}
_OPPOSITE |= {other: one for one, other in _OPPOSITE.items()}


def _one_of(words: Iterable[str]) -> str:
    """A pattern of any of these phrases, the longest first."""
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_ADJECTIVES = rf"(?:(?:{_one_of([*_COLOUR, *SIZES])}) )*"
_ARTICLE, _BEFORE = "(?:an?|the)", "(?:and|with|on|in|against|before)"
_WHOLE = r"of (?:the )?(?:picture|image|page|canvas)"
_GRAMMAR = tuple(
    (kind, re.compile(rf"(?:{pattern}) "))
    for kind, pattern in (
        ("background", rf"(?:{_BEFORE} )?(?:{_ARTICLE} )?({_one_of(_COLOUR)}) (?:background|backdrop)"),
        ("background", rf"(?:on|against) (?:{_ARTICLE} )?({_one_of(_COLOUR)})(?! {_ADJECTIVES}(?:{_one_of(_NOUN)}) )"),
        ("place", rf"(?:on|in|at|to) (?:the )?({_one_of(_PLACE)})(?: {_WHOLE}|(?! of))"),
        ("inverse", r"(?:on|in|inside) (?:it|them)"),
        ("relation", _one_of(RELATIONS)),
        ("pause", ","),
        ("count", rf"(?:a )?({_one_of(COUNTS)})(?: of)?"),
        ("size", _one_of(SIZES)),
        ("colour", _one_of(_COLOUR)),
        ("noun", _one_of(_NOUN)),
        ("filler", _one_of(FILLERS)),
        ("unknown", r"\S+"),
    )
)  # fmt: skip


class _Reader:
    """What was read so far."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.joins: list[str] = []
        self.join: str | None = None
        self.pending: dict[str, str] = {}
        self.background = ANY
        self.inverse = False
        self.unknown: list[str] = []
        self.problem: str | None = None

    def take(self, kind: str, text: str) -> None:
        match kind:
            case "unknown":
                self.unknown.append(text)
            case "background":
                self._complain(self.background not in {ANY, _COLOUR[text]}, "It names two backgrounds.")
                self.background = _COLOUR[text]
            case "place":
                self._place(_PLACE[text])
            case "inverse":
                self.inverse = True
            case "relation":
                self.join = self.join if self.join and text in {"and", "with"} else text
            case "pause":
                self.join = self.join or "and"
            case "noun":
                self._noun(text)
            case "count" | "size" | "colour":
                self._complain(
                    kind in self.pending and kind != "count", f"It names two {kind}s for one thing: {text}."
                )
                self.pending[kind] = text
            case _:
                pass

    def _noun(self, word: str) -> None:
        if self.groups:
            self.joins.append(self.join or "and")
        self.join = None
        self.groups.append(
            Group(
                _NOUN[word],
                _COLOUR.get(self.pending.get("colour", ""), ANY),
                COUNTS[self.pending.get("count", "three" if word in _SEVERAL else "a")],
                size=SIZES.get(self.pending.get("size", ""), ANY),
            )
        )
        self.pending = {}

    def _place(self, place: str) -> None:
        if not self.groups:
            self._complain(True, f"Nothing before {place!r} is there to be placed.")
            return
        self.groups[-1] = replace(self.groups[-1], place=place)

    def _complain(self, wrong: bool, problem: str) -> None:
        if wrong and self.problem is None:
            self.problem = problem

    def scene(self) -> Scene | None:
        self._complain(not self.groups, "It names nothing that can be painted.")
        self._complain(
            len(self.groups) > GROUPS,
            f"It names more than {GROUPS} kinds of things; a picture holds {GROUPS}.",
        )
        self._complain(
            bool(self.groups and self.pending), f"Nothing follows {' '.join(self.pending.values())!r}."
        )
        dangling = self.join is not None and self.join not in {"and", "with"}
        self._complain(dangling, f"Nothing follows {self.join!r}.")
        if not 0 < len(self.groups) <= GROUPS:
            return None
        return Scene(tuple(self._placed()), self.background)

    def _placed(self) -> list[Group]:
        if len(self.groups) == 1:
            return self.groups
        one, other = self.groups
        join = "behind" if self.inverse else self.joins[0]
        places = RELATIONS[join]
        if places != APART:
            self._complain(
                {one.place, other.place} != {"anywhere"},
                f"It says {join!r} and a place besides: one of them.",
            )
            one, other = replace(one, place=places[0]), replace(other, place=places[1])
            several = any(group.count > 1 for group in (one, other) if group.place == "behind")
            self._complain(several, f"Only one thing can have something drawn on it; it says {join!r}.")
            return [one, other]
        self._complain("middle" in {one.place, other.place}, "The middle can hold one kind of things alone.")
        if one.place == "anywhere":
            one = replace(one, place=_OPPOSITE.get(other.place, "anywhere"))
        elif other.place == "anywhere":
            other = replace(other, place=_OPPOSITE.get(one.place, "anywhere"))
        return [one, other]


def read(prompt: str) -> Reading:
    """The scene a prompt asks for: `[two] [small] [red] circles`, one more such thing, where, and the background."""
    words = re.sub(r"[^\w,]+", " ", prompt.lower().replace("'s", " is")).replace(",", " , ").replace("_", " ")
    rest, reader = " ".join(words.split()).strip(" ,") + " ", _Reader()
    while rest.strip():
        for kind, pattern in _GRAMMAR:
            if found := pattern.match(rest):
                reader.take(kind, (found[1] if found.re.groups and found[1] else found[0]).strip())
                rest = rest[found.end() :]
                break
    return Reading(reader.scene(), tuple(reader.unknown), reader.problem)
