"""What is in a picture, by rules alone: colours by hue, shapes by their contours beside the ones that were taught.

Nothing here has learned from anything: a thing is what differs from the border's colour, its colour the hue most of it
has, its noun that of the outline its contour and filling are nearest to.
"""

from __future__ import annotations

import colorsys
from collections import Counter
from dataclasses import dataclass
from functools import cache

import numpy as np
from nexus_inference_adapters.painter.scene import ANY, Group, Scene
from numpy.typing import NDArray

from tools.image_model.outlines import OUTLINES

Mask = NDArray[np.bool_]
Pixels = NDArray[np.uint8]

HUES = (
    *((12, "red"), (42, "orange"), (66, "yellow"), (160, "green"), (200, "cyan")),
    *((255, "blue"), (308, "purple"), (346, "pink"), (361, "red")),
)
"""Up to which degree of the colour circle a colour goes."""
DIFFERENT = 70
"""A pixel that differs by more, summed over the channels, is no background."""
LEAST = 0.0012
"""The share of a picture that a thing has at least."""
ANGLES = 48
GRID = 20
TURNS = (-5, 0, 5)
"""By how many degrees things are drawn turned."""


@dataclass(frozen=True)
class Thing:
    """What was seen: its colour and noun, its middle as shares of the side, and its pixels."""

    colour: str
    noun: str
    x: float
    y: float
    mask: Mask


@dataclass(frozen=True)
class Verdict:
    """What of a scene was found where it was asked."""

    colours: bool
    shapes: bool
    counts: bool
    places: bool
    background: bool


def judged(scene: Scene, picture: Pixels) -> Verdict:
    """Looks for each group of a scene among the things of a picture, (side, side, 3)."""
    found = [_found(group, scene, picture) for group in scene.groups]
    seen = colour_of(_border(picture))
    return Verdict(
        colours=all(things for things in found),
        shapes=all(
            things and _most(things, group) for things, group in zip(found, scene.groups, strict=True)
        ),
        counts=all(len(things) == group.count for things, group in zip(found, scene.groups, strict=True)),
        places=_placed(scene, found),
        background=scene.background in {ANY, seen},
    )


def _most(things: list[Thing], group: Group) -> bool:
    return sum(thing.noun == group.noun for thing in things) > len(things) / 2


def _found(group: Group, scene: Scene, picture: Pixels) -> list[Thing]:
    """The things of a group's colour; if it names none, those that no other group's colour claims."""
    if group.place in {"front", "behind"}:
        return _layered(group, scene, picture)
    others = {each.colour for each in scene.groups if each is not group} - {group.colour}
    seen = things(picture)
    fitting = [
        each for each in seen
        if each.colour == group.colour or (group.colour == ANY and each.colour not in others)
    ]  # fmt: skip
    if all(each.colour == group.colour for each in scene.groups) and len(scene.groups) > 1:
        fitting = [each for each in fitting if each.noun == group.noun]
    return fitting


def _layered(group: Group, scene: Scene, picture: Pixels) -> list[Thing]:
    """Of one thing drawn on another: the front one's pixels by colour, the one behind is all that there is."""
    front = next(each for each in scene.groups if each.place == "front")
    back = next(each for each in scene.groups if each.place == "behind")
    whole, colours = _foreground(picture), _colours(picture)
    behind = back.colour if back.colour != ANY else _dominant(colours, whole & (colours != front.colour))
    strange = whole & (colours != behind)
    parts = _components(_grown(strange & (colours != "edge")) & strange)
    middle = [part for part in parts if front.colour == ANY or _share(colours, part, front.colour) > 0.4]
    if group is front:
        return [_thing(picture, mask) for mask in middle]
    covered = np.any(middle, axis=0) if middle else np.zeros_like(whole)
    kinds = {_noun(whole), _noun(whole & ~_grown(covered))}
    noun = back.noun if back.noun in kinds else _noun(whole)
    colour = _dominant(colours, whole & ~_grown(covered))
    y, x = np.nonzero(whole)
    if not len(x) or back.colour not in {ANY, colour}:
        return []
    return [Thing(colour, noun, float(x.mean()) / len(whole), float(y.mean()) / len(whole), whole)]


def _placed(scene: Scene, found: list[list[Thing]]) -> bool:
    """Whether each group is where it was asked, with the middle of all its things."""
    if not all(found):
        return False
    middles = [(np.mean([t.x for t in things]), np.mean([t.y for t in things])) for things in found]
    for group, (x, y) in zip(scene.groups, middles, strict=True):
        words = group.place.split()
        wrong = (
            ("left" in words and x > 0.5) or ("right" in words and x < 0.5)
            or ("top" in words and y > 0.5) or ("bottom" in words and y < 0.5)
            or ("middle" in words and max(abs(x - 0.5), abs(y - 0.5)) > 0.17)
        )  # fmt: skip
        if wrong:
            return False
    if "beside" in {group.place for group in scene.groups}:
        return bool(abs(middles[0][0] - middles[1][0]) > 0.2)
    if "front" in {group.place for group in scene.groups}:
        front = found[0] if scene.groups[0].place == "front" else found[1]
        behind = found[1] if scene.groups[0].place == "front" else found[0]
        rows, columns = (np.nonzero(behind[0].mask.any(axis))[0] for axis in (1, 0))
        size = len(behind[0].mask)
        return all(
            rows[0] <= t.y * size <= rows[-1] and columns[0] <= t.x * size <= columns[-1] for t in front
        )
    return True


def things(picture: Pixels) -> list[Thing]:
    """All things that stand apart from each other."""
    return [_thing(picture, mask) for mask in _components(_foreground(picture))]


def _thing(picture: Pixels, mask: Mask) -> Thing:
    y, x = np.nonzero(mask)
    side = len(picture)
    colour = _dominant(_colours(picture), mask)
    return Thing(colour, _noun(mask), float(x.mean()) / side, float(y.mean()) / side, mask)


def colour_of(rgb: tuple[int, int, int]) -> str:
    """The name of a colour by hue, saturation and value."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(each / 255 for each in rgb))
    if value < 0.2:
        return "black"
    if saturation < 0.14:
        return "white" if value > 0.87 else "black" if value < 0.3 else "grey"
    name = next(name for until, name in HUES if hue * 360 < until)
    if name in {"red", "orange"} and hue * 360 > 14 and value < 0.68:
        return "brown"
    if name == "red" and saturation < 0.55 and value > 0.85:
        return "pink"
    return name


@cache
def _colour(red: int, green: int, blue: int) -> str:
    return colour_of((red * 8 + 4, green * 8 + 4, blue * 8 + 4))


def _colours(picture: Pixels) -> NDArray[np.str_]:
    """The name of each pixel's colour; of an edge, where neighbours differ, `edge`."""
    coarse = picture // 8
    names = np.array([_colour(*map(int, rgb)) for rgb in coarse.reshape(-1, 3)]).reshape(coarse.shape[:2])
    wide = picture.astype(int)
    steep = np.zeros(names.shape, bool)
    steep[:, 1:-1] |= np.abs(wide[:, 2:] - wide[:, :-2]).sum(2) > DIFFERENT
    steep[1:-1] |= np.abs(wide[2:] - wide[:-2]).sum(2) > DIFFERENT
    return np.where(steep, "edge", names)


def _dominant(colours: NDArray[np.str_], mask: Mask) -> str:
    counted = Counter(colours[mask].tolist())
    counted.pop("edge", None)
    return counted.most_common(1)[0][0] if counted else "edge"


def _share(colours: NDArray[np.str_], mask: Mask, colour: str) -> float:
    plain = mask & (colours != "edge")
    return float((plain & (colours == colour)).sum() / max(1, plain.sum()))


def _border(picture: Pixels) -> tuple[int, int, int]:
    edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    red, green, blue = np.median(edge, axis=0).astype(int).tolist()
    return red, green, blue


def _foreground(picture: Pixels) -> Mask:
    return np.abs(picture.astype(int) - np.array(_border(picture))).sum(2) > DIFFERENT


def _components(mask: Mask) -> list[Mask]:
    """The connected parts of a mask that are large enough, the largest first."""
    rest, parts = mask.copy(), []
    high, wide = mask.shape
    while rest.any():
        y, x = divmod(int(rest.argmax()), wide)
        part, open_ = np.zeros_like(mask), [(y, x)]
        rest[y, x] = False
        while open_:
            y, x = open_.pop()
            part[y, x] = True
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
                if 0 <= y + dy < high and 0 <= x + dx < wide and rest[y + dy, x + dx]:
                    rest[y + dy, x + dx] = False
                    open_.append((y + dy, x + dx))
        if part.sum() >= LEAST * mask.size:
            parts.append(part)
    return sorted(parts, key=lambda part: -int(part.sum()))


def _grown(mask: Mask) -> Mask:
    padded = np.pad(mask, 2)
    return np.any(
        [padded[y : y + len(mask), x : x + mask.shape[1]] for y in range(5) for x in range(5)], axis=0
    )


def _noun(mask: Mask) -> str:
    """The noun whose outline is nearest."""
    if mask.sum() < 12:
        return ""
    own = _features(mask)
    return min(_references(), key=lambda one: float(np.abs(own - one[1]).mean()))[0]


def _features(mask: Mask) -> NDArray[np.float64]:
    """The contour's distance from the middle in all directions, what of it is filled, and the filling of a grid."""
    y, x = np.nonzero(mask)
    top, left = y.min(), x.min()
    side = max(y.max() - top, x.max() - left) + 1
    middle_y, middle_x = (top + y.max() + 1) / 2, (left + x.max() + 1) / 2
    places = np.linspace(-0.5, 0.5, GRID * 4, endpoint=False) + 0.5 / GRID / 4
    rows, columns = (
        np.clip(np.floor(middle + places * side).astype(int), -1, size) + 1
        for middle, size in ((middle_y, mask.shape[0]), (middle_x, mask.shape[1]))
    )
    fine = np.pad(mask, 1)[np.ix_(rows, columns)]
    grid = fine.reshape(GRID, 4, GRID, 4).mean((1, 3))
    turns = np.linspace(0, 2 * np.pi, ANGLES, endpoint=False)
    along = np.linspace(0, 0.72, 60)
    ray_y, ray_x = (
        np.clip(((0.5 + np.outer(wave, along)) * GRID * 4).astype(int), 0, GRID * 4 - 1)
        for wave in (np.sin(turns), np.cos(turns))
    )
    rays = fine[ray_y, ray_x]
    reach = np.where(rays.any(1), along[rays.shape[1] - 1 - rays[:, ::-1].argmax(1)], 0)
    filled = rays.mean(1)
    weights = 1 / GRID**2, 3.0 / ANGLES, 1.5 / ANGLES
    return np.concatenate(
        [part.ravel() * weight for part, weight in zip((grid, reach, filled), weights, strict=True)]
    )


@cache
def _references() -> list[tuple[str, NDArray[np.float64]]]:
    return [(noun, _features(outline(noun, turn))) for noun in OUTLINES for turn in TURNS]


def outline(noun: str, turn: float, side: int = 160) -> Mask:
    """Where an outline turned by so many degrees is, by the even-odd rule."""
    places = (np.arange(side) + 0.5) / side * 2.4 - 1.2
    x, y = np.meshgrid(places, places)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    x, y = x * c + y * s, y * c - x * s
    mask = np.zeros((side, side), bool)
    for points, _ in OUTLINES[noun]:
        inside = np.zeros_like(mask)
        for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
            if y0 != y1:
                inside ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
        mask |= inside
    return mask
