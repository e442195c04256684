"""The words that the painter was taught. Training draws by these tables, and prompts are read by them."""

from __future__ import annotations

__all__ = [
    "APART",
    "BESIDE",
    "COLOURS",
    "COUNTS",
    "FILLERS",
    "NATURAL",
    "NOUNS",
    "PLACES",
    "RELATIONS",
    "SIZES",
]

NOUNS: dict[str, tuple[str, ...]] = {
    "circle": ("circles", "disc", "discs", "disk", "disks", "ball", "balls", "dot", "dots"),
    "square": ("squares", "box", "boxes"),
    "rectangle": ("rectangles",),
    "oval": ("ovals", "ellipse", "ellipses"),
    "triangle": ("triangles",),
    "diamond": ("diamonds", "rhombus", "rhombuses", "lozenge", "lozenges"),
    "star": ("stars",),
    "heart": ("hearts",),
    "cross": ("crosses", "plus", "pluses"),
    "ring": ("rings", "donut", "donuts", "doughnut", "doughnuts"),
    "moon": ("moons", "crescent", "crescents"),
    "arrow": ("arrows",),
    "house": ("houses",),
    "tree": ("trees",),
    "sun": ("suns",),
    "flower": ("flowers",),
    "fish": ("fishes",),
    "boat": ("boats", "sailboat", "sailboats", "ship", "ships"),
    "cloud": ("clouds",),
    "cup": ("cups", "mug", "mugs"),
    "car": ("cars",),
    "mushroom": ("mushrooms", "toadstool", "toadstools"),
    "umbrella": ("umbrellas",),
    "balloon": ("balloons",),
}
"""Each noun with what else is read as it."""

COLOURS: dict[str, tuple[tuple[int, int, int], tuple[str, ...]]] = {
    "red": ((217, 38, 38), ("scarlet", "crimson")),
    "orange": ((245, 135, 20), ()),
    "yellow": ((247, 212, 25), ("golden",)),
    "green": ((38, 153, 56), ()),
    "cyan": ((46, 200, 205), ("turquoise", "teal")),
    "blue": ((38, 77, 217), ()),
    "purple": ((128, 46, 166), ("violet",)),
    "pink": ((250, 140, 185), ()),
    "brown": ((125, 77, 38), ()),
    "black": ((20, 20, 20), ()),
    "grey": ((135, 135, 135), ("gray",)),
    "white": ((255, 255, 255), ()),
}
"""Each colour as it is painted, red, green and blue of 0 to 255, with what else is read as it."""

NATURAL = {
    "tree": "green",
    "sun": "yellow",
    "cloud": "white",
    "heart": "red",
    "moon": "yellow",
    "star": "yellow",
}
"""The colour that a noun has where the prompt names none, unless something else has it; others then have any."""

COUNTS = {
    "a": 1,
    "an": 1,
    "one": 1,
    "1": 1,
    "single": 1,
    "two": 2,
    "2": 2,
    "pair": 2,
    "three": 3,
    "3": 3,
    "four": 4,
    "4": 4,
}
SIZES = {"small": "small", "little": "small", "tiny": "small", "big": "big", "large": "big", "huge": "big"}

PLACES = {
    "anywhere": (),
    "left": ("left", "left side", "left half"),
    "right": ("right", "right side", "right half"),
    "top": ("top", "top half", "upper half"),
    "bottom": ("bottom", "bottom half", "lower half"),
    "top left": ("top left", "upper left", "top left corner", "upper left corner"),
    "top right": ("top right", "upper right", "top right corner", "upper right corner"),
    "bottom left": ("bottom left", "lower left", "bottom left corner", "lower left corner"),
    "bottom right": ("bottom right", "lower right", "bottom right corner", "lower right corner"),
    "middle": ("middle", "center", "centre"),
    "front": (),
    "behind": (),
}
"""Where a group can be, with how a prompt says so after "on", "in" or "at". The last two only come of a relation."""

BESIDE = ("beside", "beside")
APART = ("anywhere", "anywhere")
RELATIONS: dict[str, tuple[str, str]] = {
    "left of": ("left", "right"),
    "to the left of": ("left", "right"),
    "on the left of": ("left", "right"),
    "right of": ("right", "left"),
    "to the right of": ("right", "left"),
    "on the right of": ("right", "left"),
    "above": ("top", "bottom"),
    "over": ("top", "bottom"),
    "on top of": ("top", "bottom"),
    "below": ("bottom", "top"),
    "under": ("bottom", "top"),
    "underneath": ("bottom", "top"),
    "beneath": ("bottom", "top"),
    "beside": BESIDE,
    "next to": BESIDE,
    "by": BESIDE,
    "near": BESIDE,
    "on": ("front", "behind"),
    "in": ("front", "behind"),
    "inside": ("front", "behind"),
    "within": ("front", "behind"),
    "in front of": ("front", "behind"),
    "behind": ("behind", "front"),
    "and": APART,
    "with": APART,
}
"""What a prompt says between two groups, and where each of the two then is: BESIDE and APART are left to chance."""

FILLERS = frozenset(
    (
        *("picture", "image", "drawing", "painting", "illustration", "icon"),
        *("draw", "paint", "show", "make", "me", "please", "there", "is", "are", "of", "the"),
    )
)
"""Words that ask for a picture and change nothing in it."""
