"""Where the objects of a scene go: decided by chance before the flow begins, as its places and counts ask.

The network is told it as coordinates within the object that is nearest to each part of the picture.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_inference_adapters.painter.scene import ANY, GROUPS, Group, Scene

__all__ = ["BOXES", "COORDINATES", "GRID", "Layout", "Spot", "coordinates", "laid_out"]


class Spot(NamedTuple):
    """The middle of an object and half its side, as shares of the picture's side."""

    x: float
    y: float
    half: float


Layout = tuple[tuple[Spot, ...], ...]
"""The spots of each group."""

GRID = 16
"""The parts of a picture, along one side."""
COORDINATES = 16
REACH = 1.4
"""How far beyond an object's edge its coordinates go, as a share of half its side."""
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
ARRANGEMENTS = {1: ((1, 1),), 2: ((2, 1), (1, 2)), 3: ((3, 1), (1, 3), (2, 2)), 4: ((2, 2), (4, 1), (1, 4))}
"""Columns and rows that a count can stand in."""
LIMITS = {ANY: (0.7, 0.95), "small": (0.52, 0.6), "big": (0.95, 1.0)}
"""Which share of the room there is an object takes."""
FRONT = {1: 0.5, 2: 0.34, 3: 0.26, 4: 0.2}
"""How large the objects drawn on another one are beside it, by their count."""
INNER = {
    "triangle": (0, 0.25),
    "moon": (-0.48, 0),
    "house": (0, 0.1),
    "tree": (0, 0.15),
    "fish": (-0.2, 0),
    "boat": (0, 0.6),
    "cup": (-0.17, 0),
    "mushroom": (0, -0.35),
    "umbrella": (0, -0.4),
    "balloon": (0, -0.3),
    "cloud": (0, 0.1),
    "car": (0, 0.1),
}
"""Where something drawn on a noun is drawn, if not at its middle."""


def laid_out(scene: Scene, chance: random.Random) -> Layout:
    """The spots of a settled scene."""
    back = next((group for group in scene.groups if group.place == "behind"), None)
    if back is None:
        return tuple(_arranged(group, BOXES[group.place], chance) for group in scene.groups)
    base = Spot(
        0.5 + chance.uniform(-0.04, 0.04), 0.5 + chance.uniform(-0.04, 0.04), chance.uniform(0.4, 0.45)
    )
    return tuple(
        (base,) if group is back else _onto(base, back.noun, group.count, chance) for group in scene.groups
    )


def _arranged(
    group: Group, box: tuple[float, float, float, float], chance: random.Random
) -> tuple[Spot, ...]:
    """In the cells of a grid within a box, each a little beside its cell's middle."""
    x0, y0, x1, y1 = box
    columns, rows = max(
        ARRANGEMENTS[group.count],
        key=lambda grid: min((x1 - x0) / grid[0], (y1 - y0) / grid[1]) * chance.uniform(0.75, 1),
    )
    wide, high = (x1 - x0) / columns, (y1 - y0) / rows
    half = min(wide, high, 0.8) / 2 * chance.uniform(*LIMITS[group.size]) - 0.015
    cells = [(column, row) for row in range(rows) for column in range(columns)]
    if len(cells) > group.count:
        cells.pop(chance.randrange(len(cells)))
    play = 0.6 if group.place == "anywhere" else 0.35
    slack_x, slack_y = (play * max(0.0, each / 2 - half - 0.015) for each in (wide, high))
    return tuple(
        Spot(
            x0 + wide * (column + 0.5) + chance.uniform(-slack_x, slack_x),
            y0 + high * (row + 0.5) + chance.uniform(-slack_y, slack_y),
            half,
        )
        for column, row in cells
    )


def _onto(base: Spot, noun: str, count: int, chance: random.Random) -> tuple[Spot, ...]:
    """In a row where the object behind is widest."""
    half = base.half * FRONT[count] * chance.uniform(0.9, 1.1)
    x, y = (middle + base.half * aside for middle, aside in zip(base, INNER.get(noun, (0, 0)), strict=False))
    return tuple(Spot(x + 2.2 * half * (number - (count - 1) / 2), y, half) for number in range(count))


def coordinates(layout: Layout) -> NDArray[np.float32]:
    """Of each part of a picture its place within the nearest object of each group, and waves of it; 0 far from all.

    (GROUPS, GRID * GRID, COORDINATES).
    """
    told = np.zeros((GROUPS, GRID * GRID, COORDINATES), np.float32)
    middles = (np.arange(GRID) + 0.5) / GRID
    across, down = (each.ravel() for each in np.meshgrid(middles, middles))
    for group, spots in zip(told, layout, strict=False):
        u, v = (
            np.stack([(axis - spot[i]) / spot.half for spot in spots])
            for i, axis in enumerate((across, down))
        )
        far = np.maximum(abs(u), abs(v))
        nearest = far.argmin(0)[None]
        u, v, far = (np.take_along_axis(each, nearest, 0)[0] for each in (u, v, far))
        half = np.array([spot.half for spot in spots])[nearest[0]]
        waves = [
            wave(np.pi * times * axis) for times in (1, 2) for axis in (u, v) for wave in (np.sin, np.cos)
        ]
        each = [np.ones_like(u), u, v, u * v, u * u, v * v, np.hypot(u, v), np.log(half) + 1.5, *waves]
        group[:] = np.stack(each, 1) * (far < REACH)[:, None]
    return told
