"""Scenes by chance, and where their objects go: what the model is taught."""

from __future__ import annotations

import random

import numpy as np
from nexus_inference_adapters.kinds.painter.scene import ANY, Group, Scene, settled
from nexus_inference_adapters.kinds.painter.vocabulary import APART, COLOURS, NOUNS

from tools.image_model.drawing import RGB, Placed, draw
from tools.image_model.outlines import INNER

__all__ = ["BOXES", "example", "laid_out", "scene"]

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
BOXES = {
    "anywhere": (0.0, 0.0, 1.0, 1.0),
    "middle": (0.0, 0.0, 1.0, 1.0),
    "left": (0.0, 0.0, 0.5, 1.0),
    "right": (0.5, 0.0, 1.0, 1.0),
    "top": (0.0, 0.0, 1.0, 0.5),
    "bottom": (0.0, 0.5, 1.0, 1.0),
    "top left": (0.0, 0.0, 0.5, 0.5),
    "top right": (0.5, 0.0, 1.0, 0.5),
    "bottom left": (0.0, 0.5, 0.5, 1.0),
    "bottom right": (0.5, 0.5, 1.0, 1.0),
}
GRIDS = {1: ((1, 1),), 2: ((2, 1), (1, 2)), 3: ((3, 1), (1, 3), (2, 2)), 4: ((2, 2), (4, 1), (1, 4))}
"""Columns and rows that a count can stand in."""
LIMITS = {ANY: (0.7, 0.95), "small": (0.52, 0.6), "big": (0.95, 1.0)}
"""Which share of the room there is an object takes."""


def example(chance: random.Random, side: int) -> tuple[Scene, np.ndarray]:
    """A settled scene and a picture of it, (side, side, 3) of uint8."""
    asked = settled(scene(chance), chance)
    background, objects = laid_out(asked, chance)
    return asked, draw(background, objects, side)


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


def laid_out(asked: Scene, chance: random.Random) -> tuple[RGB, list[Placed]]:
    """The background's paint and the objects of a settled scene, those behind first."""
    background = _background(asked.background, [group.colour for group in asked.groups], chance)
    if any(group.place == "behind" for group in asked.groups):
        back, front = sorted(asked.groups, key=lambda group: group.place != "behind")
        return background, _onto(back, front, chance)
    return background, [
        placed for group in asked.groups for placed in _gridded(group, BOXES[group.place], chance)
    ]


def _background(colour: str, used: list[str], chance: random.Random) -> RGB:
    if colour != ANY:
        return COLOURS[colour][0]
    light = [*((255, 255, 255),) * 4, SKY, CREAM]
    paints = [COLOURS[each][0] for each in used]
    clear = [one for one in light if all(_distance(one, paint) > CLOSE for paint in paints)]
    return chance.choice(clear or [SKY if _distance(SKY, paints[0]) > 60 else (60, 80, 120)])


def _distance(one: RGB, other: RGB) -> int:
    return sum(abs(x - y) for x, y in zip(one, other, strict=True))


def _gridded(group: Group, box: tuple[float, float, float, float], chance: random.Random) -> list[Placed]:
    """The objects of a group in the cells of a grid within a box, each a little beside its middle."""
    x0, y0, x1, y1 = box
    columns, rows = max(
        GRIDS[group.count],
        key=lambda grid: min((x1 - x0) / grid[0], (y1 - y0) / grid[1]) * chance.uniform(0.75, 1),
    )
    wide, high = (x1 - x0) / columns, (y1 - y0) / rows
    room = min(wide, high, 0.8) / 2
    half = room * chance.uniform(*LIMITS[group.size]) - 0.015
    cells = [(column, row) for row in range(rows) for column in range(columns)]
    spare = chance.randrange(len(cells)) if len(cells) > group.count else None
    objects = []
    for number, (column, row) in enumerate(cells):
        if number == spare:
            continue
        slack_x, slack_y = (max(0.0, each / 2 - half - 0.015) for each in (wide, high))
        play = 0.6 if group.place == "anywhere" else 0.35
        x = x0 + wide * (column + 0.5) + play * chance.uniform(-slack_x, slack_x)
        y = y0 + high * (row + 0.5) + play * chance.uniform(-slack_y, slack_y)
        objects.append(Placed(group.noun, group.colour, x, y, half, chance.uniform(-5, 5)))
    return objects


def _onto(back: Group, front: Group, chance: random.Random) -> list[Placed]:
    """A large object, and small ones on it where it is widest."""
    half = chance.uniform(0.36, 0.44)
    x, y = 0.5 + chance.uniform(-0.04, 0.04), 0.5 + chance.uniform(-0.04, 0.04)
    inner = INNER.get(back.noun, (0, 0))
    middle = (x + half * inner[0], y + half * inner[1])
    small = half * {1: chance.uniform(0.36, 0.44), 2: 0.3, 3: 0.24}[front.count]
    base = Placed(back.noun, back.colour, x, y, half)
    return [base] + [
        Placed(
            front.noun,
            front.colour,
            middle[0] + 2.2 * small * (number - (front.count - 1) / 2),
            middle[1],
            small,
            chance.uniform(-4, 4),
        )
        for number in range(front.count)
    ]
