"""Turns patterns into questions: (a|b|) is a choice, {slot} a word of a list, {junk} a made-up word."""

from __future__ import annotations

import re
from random import Random

Slots = dict[str, list[str]]

_SLOT = re.compile(r"\{(\w+)\}")
_ONSETS = ["", *"bdfgklmnprstvxz", "ch", "kl", "qu", "sh", "str", "tr"]
_NUCLEI = [*"aeiou", "an", "el", "er", "ing", "is", "or", "ton", "um"]
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def expand(pattern: str, slots: Slots, random: Random) -> str:
    """One random question of a pattern."""
    text, _ = _choice(pattern, 0, random)
    text = _SLOT.sub(lambda found: fill(found[1], slots, random), text)
    return re.sub(r" +", " ", text).strip() if "\n" not in text else text


def fill(slot: str, slots: Slots, random: Random) -> str:
    """One random value of a slot."""
    if slot == "n":
        return str(random.randrange(10 ** random.randint(1, 4)))
    if slot == "junk":
        return made_up_word(random)
    if slot == "babble":
        return babble(slots, random, random.randint(2, 14))
    return random.choice(slots[slot])


def made_up_word(random: Random) -> str:
    if random.random() < 0.3:
        return "".join(random.choices(_LETTERS, k=random.randint(2, 9)))
    return "".join(random.choice(_ONSETS) + random.choice(_NUCLEI) for _ in range(random.randint(1, 4)))


def babble(slots: Slots, random: Random, words: int) -> str:
    """A run of words that means nothing, half of them little ones."""
    kinds = ("filler", "filler", "filler", "thing", "verb", "adj", "topic", "person", "place", "time", "junk")
    return " ".join(fill(random.choice(kinds), slots, random) for _ in range(words))


def _choice(pattern: str, start: int, random: Random) -> tuple[str, int]:
    """Expand from `start` to the closing parenthesis or the end; the text and where it stopped."""
    options: list[str] = []
    text, at = "", start
    while at < len(pattern) and pattern[at] != ")":
        if pattern[at] == "(":
            inner, at = _choice(pattern, at + 1, random)
            text += inner
        elif pattern[at] == "|":
            options.append(text)
            text = ""
        else:
            text += pattern[at]
        at += 1
    return random.choice([*options, text]), at
