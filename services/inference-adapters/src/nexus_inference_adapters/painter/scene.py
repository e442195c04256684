"""What a prompt asks for, as the network is told it."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np

from nexus_inference_adapters.painter.vocabulary import APART, BESIDE, COLOURS, NATURAL, NOUNS, PLACES

__all__ = ["ANY", "FIELDS", "GROUPS", "Group", "Scene", "encoded", "settled"]

ANY = "any"
GROUPS = 2
FIELDS = {
    "noun": ("", *NOUNS),
    "colour": (ANY, *COLOURS),
    "count": (0, 1, 2, 3, 4),
    "place": tuple(PLACES),
    "size": (ANY, "small", "big"),
}
"""What each field of a group can be; the network knows each by its index."""
_HALVES = (("left", "right"), ("right", "left"), ("top", "bottom"), ("bottom", "top"))


@dataclass(frozen=True, slots=True)
class Group:
    """One to four of a noun, all alike."""

    noun: str
    colour: str = ANY
    count: int = 1
    place: str = "anywhere"
    size: str = ANY


@dataclass(frozen=True, slots=True)
class Scene:
    """At most GROUPS groups before a background."""

    groups: tuple[Group, ...]
    background: str = ANY


def settled(scene: Scene, chance: random.Random) -> Scene:
    """The scene with what it leaves open of its groups decided: their colours, and where two of them are."""
    taken = {scene.background, *(group.colour for group in scene.groups)}
    groups = []
    for group in scene.groups:
        colour = group.colour
        if colour == ANY:
            free = [each for each in COLOURS if each not in taken]
            natural = NATURAL.get(group.noun)
            colour = natural if natural in free else chance.choice(free)
            taken.add(colour)
        groups.append(replace(group, colour=colour))
    places = tuple(group.place for group in groups)
    if places in {APART, BESIDE}:
        places = chance.choice(_HALVES if places == APART else _HALVES[:2])
        groups = [replace(group, place=place) for group, place in zip(groups, places, strict=True)]
    return Scene(tuple(groups), scene.background)


def encoded(scene: Scene) -> np.ndarray:
    """The indices of a settled scene, (GROUPS * 5 + 1) of int64: the fields of each group, then the background."""
    indices = [FIELDS[name].index(getattr(group, name)) for group in scene.groups for name in FIELDS]
    indices += [0] * (len(FIELDS) * (GROUPS - len(scene.groups)))
    return np.array([*indices, FIELDS["colour"].index(scene.background)], dtype=np.int64)
