"""What each noun looks like: painted polygons in a square from -1 to 1, y downwards, first the ones behind."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["OUTLINES", "Part", "Point"]

Point = tuple[float, float]


class Part(NamedTuple):
    """A polygon and its paint: `main` is the colour that was asked, the others are shades of it or fixed."""

    points: list[Point]
    paint: str = "main"


def _arc(
    cx: float, cy: float, rx: float, ry: float, begin: float = 0, end: float = 360, n: int = 36
) -> list[Point]:
    turns = [math.radians(begin + (end - begin) * i / n) for i in range(n + 1)]
    return [(cx + rx * math.cos(t), cy + ry * math.sin(t)) for t in turns]


def _disc(cx: float, cy: float, r: float) -> list[Point]:
    return _arc(cx, cy, r, r)


def _box(x0: float, y0: float, x1: float, y1: float) -> list[Point]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def _annulus(cx: float, cy: float, outer: float, inner: float, begin: float, end: float) -> list[Point]:
    return _arc(cx, cy, outer, outer, begin, end) + _arc(cx, cy, inner, inner, end, begin)


def _spikes(n: int, outer: float, inner: float) -> list[Point]:
    radii = (outer, inner)
    turns = [-math.pi / 2 + math.pi * i / n for i in range(2 * n)]
    return [(radii[i % 2] * math.cos(t), radii[i % 2] * math.sin(t)) for i, t in enumerate(turns)]


def _heart() -> list[Point]:
    turns = [2 * math.pi * i / 48 for i in range(48)]
    return [
        (
            math.sin(t) ** 3,
            -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 17 - 0.1,
        )
        for t in turns
    ]


def _moon() -> list[Point]:
    return [(x + 0.25, y) for x, y in _arc(0, 0, 1, 1, 55, 305) + _arc(0.53, 0, 0.82, 0.82, 270, 90)]


def _flower() -> list[Part]:
    turns = [math.radians(72 * i - 90) for i in range(5)]
    petals = [Part(_disc(0.58 * math.cos(t), 0.58 * math.sin(t), 0.40)) for t in turns]
    return [*petals, Part(_disc(0, 0, 0.36)), Part(_disc(0, 0, 0.28), "centre")]


def _sun() -> list[Part]:
    rays = []
    for i in range(8):
        t = math.pi * i / 4
        c, s = math.cos(t), math.sin(t)
        rays.append(
            Part([(0.5 * c - 0.2 * s, 0.5 * s + 0.2 * c), (c, s), (0.5 * c + 0.2 * s, 0.5 * s - 0.2 * c)])
        )
    return [*rays, Part(_disc(0, 0, 0.58))]


def _cloud() -> list[Part]:
    puffs = ((-0.55, 0.15, 0.42), (0.0, -0.15, 0.52), (0.55, 0.12, 0.44))
    return [*(Part(_disc(*puff)) for puff in puffs), Part(_box(-0.55, 0.1, 0.55, 0.57))]


OUTLINES: dict[str, list[Part]] = {
    "circle": [Part(_disc(0, 0, 0.95))],
    "square": [Part(_box(-0.85, -0.85, 0.85, 0.85))],
    "rectangle": [Part(_box(-1, -0.52, 1, 0.52))],
    "oval": [Part(_arc(0, 0, 1, 0.6))],
    "triangle": [Part([(0, -0.9), (1, 0.82), (-1, 0.82)])],
    "diamond": [Part([(0, -1), (0.72, 0), (0, 1), (-0.72, 0)])],
    "star": [Part(_spikes(5, 1, 0.42))],
    "heart": [Part(_heart())],
    "cross": [Part(_box(-0.32, -0.95, 0.32, 0.95)), Part(_box(-0.95, -0.32, 0.95, 0.32))],
    "ring": [Part(_annulus(0, 0, 0.97, 0.55, -95, 95)), Part(_annulus(0, 0, 0.97, 0.55, 85, 275))],
    "moon": [Part(_moon())],
    "arrow": [
        Part([(-1, -0.26), (0.1, -0.26), (0.1, -0.75), (1, 0), (0.1, 0.75), (0.1, 0.26), (-1, 0.26)]),
    ],
    "house": [
        Part(_box(-0.72, -0.1, 0.72, 0.92)),
        Part([(0, -0.95), (1, -0.08), (-1, -0.08)], "dark"),
        Part(_box(-0.2, 0.35, 0.2, 0.92), "dark"),
    ],
    "tree": [
        Part(_box(-0.17, 0.3, 0.17, 1), "trunk"),
        Part([(0, -1), (0.62, -0.2), (-0.62, -0.2)]),
        Part([(0, -0.6), (0.82, 0.5), (-0.82, 0.5)]),
    ],
    "sun": _sun(),
    "flower": _flower(),
    "fish": [
        Part([(0.35, 0), (1, -0.58), (1, 0.58)]),
        Part(_arc(-0.25, 0, 0.75, 0.5)),
        Part(_disc(-0.6, -0.12, 0.11), "eye"),
    ],
    "boat": [
        Part(_box(-0.08, -0.95, 0.08, 0.4), "dark"),
        Part([(0.08, -0.9), (0.8, 0.27), (0.08, 0.27)], "light"),
        Part([(-0.08, -0.6), (-0.08, 0.27), (-0.65, 0.27)], "light"),
        Part([(-1, 0.35), (1, 0.35), (0.6, 0.9), (-0.6, 0.9)]),
    ],
    "cloud": _cloud(),
    "cup": [
        Part(_annulus(0.45, 0, 0.5, 0.27, -90, 90)),
        Part([(-0.85, -0.75), (0.5, -0.75), (0.36, 0.75), (-0.71, 0.75)]),
    ],
    "car": [
        Part([(-0.55, -0.08), (-0.35, -0.55), (0.35, -0.55), (0.6, -0.08)]),
        Part(_box(-1, -0.12, 1, 0.38)),
        Part([(-0.4, -0.12), (-0.26, -0.42), (0.26, -0.42), (0.43, -0.12)], "glass"),
        Part(_disc(-0.52, 0.4, 0.27), "tyre"),
        Part(_disc(0.52, 0.4, 0.27), "tyre"),
    ],
    "mushroom": [
        Part([(-0.27, 0), (0.27, 0), (0.36, 0.92), (-0.36, 0.92)], "light"),
        Part(_arc(0, 0.1, 0.97, 0.98, 180, 360)),
    ],
    "umbrella": [
        Part(_box(-0.08, -0.95, 0.08, 0.7), "dark"),
        Part(_annulus(-0.17, 0.68, 0.25, 0.09, 0, 180), "dark"),
        Part(_arc(0, 0.02, 1, 0.85, 180, 360)),
    ],
    "balloon": [
        Part(_box(-0.06, 0.4, 0.06, 1), "dark"),
        Part([(0, 0.3), (0.16, 0.55), (-0.16, 0.55)]),
        Part(_arc(0, -0.3, 0.6, 0.7)),
    ],
}
