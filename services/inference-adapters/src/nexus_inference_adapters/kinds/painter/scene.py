"""What a prompt asks for, as the network is told it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nexus_inference_adapters.kinds.painter.vocabulary import COLOURS, NOUNS, PLACES

__all__ = ["ANY", "FIELDS", "GROUPS", "Group", "Scene", "encoded"]

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


def encoded(scene: Scene) -> np.ndarray:
    """The indices of a scene, (GROUPS * 5 + 1) of int64: the fields of each group, then the background's colour."""
    indices = [
        FIELDS[name].index(getattr(group, name)) for group in scene.groups for name in FIELDS
    ]
    indices += [0] * (len(FIELDS) * (GROUPS - len(scene.groups)))
    return np.array([*indices, FIELDS["colour"].index(scene.background)], dtype=np.int64)
