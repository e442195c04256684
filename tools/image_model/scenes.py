"""Scenes by chance and pictures of them: what the model is taught."""

from __future__ import annotations

import random

import numpy as np
from nexus_inference_adapters.painter.layout import Layout, laid_out
from nexus_inference_adapters.painter.scene import ANY, Group, Scene, settled
from nexus_inference_adapters.painter.vocabulary import APART, COLOURS, NOUNS

from tools.image_model.drawing import RGB, Placed, draw

__all__ = ["example", "scene"]

COLOUR_NAMES, NOUN_NAMES = tuple(COLOURS), tuple(NOUNS)
SKY: RGB = (200, 228, 250)
CREAM: RGB = (250, 240, 215)
CLOSE = 150
"""Colours nearer than this, as a sum over the channels, are not drawn on each other."""
SINGLE = ("anywhere",) * 8 + (
    *("left", "right", "top", "bottom", "middle"),
    *("top left", "top right", "bottom left", "bottom right"),
)
PAIRS = (
    *((APART,) * 8),
    *((("left", "right"), ("right", "left"), ("top", "bottom"), ("bottom", "top")) * 2),
    *((("front", "behind"),) * 5),
    ("behind", "front"),
    *(("top left", "bottom right"), ("bottom right", "top left")),
    *(("top right", "bottom left"), ("bottom left", "top right")),
    *(("top left", "top right"), ("bottom left", "bottom right")),
)


def example(chance: random.Random, side: int) -> tuple[Scene, Layout, np.ndarray]:
    """A settled scene, where its objects are, and a picture of it, (side, side, 3) of uint8."""
    asked = settled(scene(chance), chance)
    layout = laid_out(asked, chance)
    return asked, layout, _drawn(asked, layout, chance, side)


def scene(chance: random.Random) -> Scene:
    """Any scene whose colours can be told from each other."""
    if chance.random() < 0.45:
        groups: tuple[Group, ...] = (_group(chance, chance.choice(SINGLE), (1, 1, 1, 2, 3, 4)),)
    else:
        one, other = chance.choice(PAIRS)
        counts = {"front": (1, 1, 1, 1, 1, 2), "behind": (1,)}
        several = (1, 1, 1, 1, 1, 2, 3, 4)
        groups = (
            _group(chance, one, counts.get(one, several)),
            _group(chance, other, counts.get(other, several)),
        )
    used = [group.colour for group in groups]
    background = ANY if chance.random() < 0.45 else chance.choice(COLOUR_NAMES)
    named = [each for each in (*used, background) if each != ANY]
    clash = len(set(named)) < len(named) and (background in used or groups[0].place in {"front", "behind"})
    return scene(chance) if clash else Scene(groups, background)


def _group(chance: random.Random, place: str, counts: tuple[int, ...]) -> Group:
    colour = ANY if chance.random() < 0.12 else chance.choice(COLOUR_NAMES)
    size = chance.choice((ANY, ANY, ANY, ANY, ANY, ANY, "small", "big"))
    count = chance.choice(counts)
    if place in {"front", "behind"}:
        size = ANY
    if " " in place:
        count = min(count, 2)
    return Group(chance.choice(NOUN_NAMES), colour, count, place, size)


def _drawn(asked: Scene, layout: Layout, chance: random.Random, side: int) -> np.ndarray:
    """What is behind first; all a little turned."""
    background = _background(asked.background, [group.colour for group in asked.groups], chance)
    pairs = sorted(zip(asked.groups, layout, strict=True), key=lambda pair: pair[0].place != "behind")
    objects = [
        Placed(group.noun, group.colour, spot, chance.uniform(-5, 5))
        for group, spots in pairs
        for spot in spots
    ]
    return draw(background, objects, side)


def _background(colour: str, used: list[str], chance: random.Random) -> RGB:
    if colour != ANY:
        return COLOURS[colour][0]
    light = [*((255, 255, 255),) * 4, SKY, CREAM]
    paints = [COLOURS[each][0] for each in used]
    clear = [one for one in light if all(_distance(one, paint) > CLOSE for paint in paints)]
    return chance.choice(clear or [SKY if _distance(SKY, paints[0]) > 60 else (60, 80, 120)])


def _distance(one: RGB, other: RGB) -> int:
    return sum(abs(x - y) for x, y in zip(one, other, strict=True))
