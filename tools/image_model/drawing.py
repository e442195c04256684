"""Draws placed nouns with Pillow, four times too large and then reduced, which smooths the edges."""
# pyright: reportMissingImports=false

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from nexus_inference_adapters.painter.layout import Spot
from nexus_inference_adapters.painter.vocabulary import COLOURS
from PIL import Image, ImageDraw

from tools.image_model.outlines import OUTLINES

__all__ = ["RGB", "Placed", "draw", "palette"]

RGB = tuple[int, int, int]
SUPERSAMPLING = 4
FIXED: dict[str, RGB] = {
    "centre": (247, 212, 25),
    "trunk": (125, 77, 38),
    "eye": (255, 255, 255),
    "glass": (205, 225, 240),
    "tyre": (20, 20, 20),
}


class Placed(NamedTuple):
    """A noun at a spot, turned by degrees."""

    noun: str
    colour: str
    spot: Spot
    turn: float = 0.0


def palette(colour: str) -> dict[str, RGB]:
    """The paints of a noun that is mainly of this colour."""
    main = COLOURS[colour][0]
    dark = _mixed(main, (0, 0, 0), 0.4) if sum(main) > 150 else _mixed(main, (255, 255, 255), 0.3)
    light = _mixed(main, (255, 255, 255), 0.55) if sum(main) < 700 else (225, 225, 225)
    fixed = {name: paint if paint != main else dark for name, paint in FIXED.items()}
    return {"main": main, "dark": dark, "light": light, **fixed}


def draw(background: RGB, objects: list[Placed], side: int) -> np.ndarray:
    """The picture, (side, side, 3) of uint8."""
    full = side * SUPERSAMPLING
    canvas = Image.new("RGB", (full, full), background)
    pen = ImageDraw.Draw(canvas)
    for one in objects:
        paints = palette(one.colour)
        x, y, half = one.spot
        c, s = math.cos(math.radians(one.turn)), math.sin(math.radians(one.turn))
        for points, paint in OUTLINES[one.noun]:
            placed = [
                (full * (x + half * (px * c - py * s)), full * (y + half * (px * s + py * c)))
                for px, py in points
            ]
            pen.polygon(placed, fill=paints[paint])
    return np.asarray(canvas.reduce(SUPERSAMPLING))


def _mixed(one: RGB, other: RGB, share: float) -> RGB:
    r, g, b = (round(x * (1 - share) + y * share) for x, y in zip(one, other, strict=True))
    return r, g, b
