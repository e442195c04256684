"""The process that paints: run as a file, so that it loads nothing of the adapter but what it needs.

Orders come on standard input, one JSON object a line: {} for what it can paint, or {"prompt", "seed", "n", "side",
"steps", "previews", "format", "quality"}. With "files", names and sizes, those follow the line: a picture that is
changed, and its mask; "strength" says how much, "side" null that it keeps its size, "prompt" null that nothing is said.
With "rate", pictures a second, each step is a picture of a film.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from nexus_inference_adapters.children import Frames, confine, one_more_job
from nexus_inference_adapters.media import UnreadableError, as_file, as_film, read_picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nexus_inference_adapters.painter import Model, Original, Reading, Scene, Step

MEMORY = 2 << 30
READ_SECONDS = 5
"""Of CPU, for the pictures of an order. The largest honest ones take less than one."""
LARGEST_READ = 2048
"""Pixels of each side of a picture that is changed."""
CHANGED = 0.8
"""The strength of a change that nobody has bounded: much is new, and what it was can still be seen."""
EXAMPLE = "two red stars above a blue house on a white background"
OTHER_EXAMPLES = (
    "a red circle on a blue background",
    "a large yellow sun at the top left",
    "three green trees",
)
SHEET = 4
"""Looks in each row and column of a sheet of them."""
SIDES = 64
"""Pixels between two sides that there are."""


def main() -> None:
    confine(MEMORY)
    # Threads share sums out by their number, and each takes memory: one of them paints the same on every machine.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    from nexus_inference_adapters.painter import load

    frames, model, orders = Frames(), None, sys.stdin.buffer
    for line in orders:
        one_more_job()
        order = json.loads(line)
        if not order:
            frames.done(**_catalogue())
            continue
        files = {name: orders.read(size) for name, size in order.get("files", {}).items()}
        try:
            model = model or load()
        except (OSError, ValueError) as error:
            frames.failed(f"its weights cannot be read: {error}")
            continue
        try:
            (_film if "rate" in order else _paint)(model, order, files, frames)
        except _Refused as refused:
            frames.done(refused=str(refused), param=refused.param, code=refused.code)


class _Refused(Exception):
    """An order that cannot be done, and why."""

    def __init__(self, param: str, why: str, code: str = "invalid_value") -> None:
        super().__init__(why)
        self.param, self.code = param, code


def _catalogue() -> dict[str, object]:
    from nexus_inference_adapters.painter import LARGEST, SMALLEST, STEPS

    sides = list(range(SMALLEST, LARGEST + 1, SIDES))
    return {
        "sides": sides,
        "read": [SMALLEST, LARGEST_READ],
        "steps": STEPS,
        "words": _words(),
        "examples": [EXAMPLE, *OTHER_EXAMPLES],
    }


def _paint(model: Model, order: dict[str, Any], files: dict[str, bytes], frames: Frames) -> None:
    """Frames of each picture, after those of what it looked like on the way."""
    from nexus_inference_adapters.painter import painted

    scene = None if order["prompt"] is None else _scene(order["prompt"])
    steps, count = order["steps"], order["n"]
    original = _original(order, files) if files else None
    files.clear()
    high, wide = (order["side"],) * 2 if original is None else original.pixels.shape[:2]
    start = None if original is None else original.start(order["strength"] or _usual_strength(original))
    shown = {steps * (number + 1) // (order["previews"] + 1): number for number in range(order["previews"])}

    def show(step: Step, **more: int) -> None:
        picture = _whole(model, step, original, high, wide)
        frames.output(as_file(picture, order["format"], order["quality"]), **more, pixels=f"{wide}x{high}")

    for index in range(count):
        step = None
        for step in painted(model, scene, seed=order["seed"] + index, steps=steps, start=start):
            frames.progress(index * steps + step.number, count * steps)
            if step.number in shown and step.number < steps:
                show(step, index=index, preview=shown[step.number])
        if step is not None:
            show(step, index=index)
    frames.done()


def _film(model: Model, order: dict[str, Any], _: dict[str, bytes], frames: Frames) -> None:
    """A frame of a film of how the picture comes out of the noise, after those of its last look and of all of them."""
    import numpy as np

    from nexus_inference_adapters.painter import finished, painted

    scene, steps, side = _scene(order["prompt"]), order["steps"], order["side"]
    looks: list[NDArray[np.uint8]] = []
    for step in painted(model, scene, seed=order["seed"], steps=steps):
        frames.progress(step.number, steps + 1)
        looks.append(finished(model, step.guess, side))
    shown = [
        looks[(at * (len(looks) - 1)) // (SHEET * SHEET - 1)][::SHEET, ::SHEET] for at in range(SHEET * SHEET)
    ]
    rows = [np.concatenate(shown[at : at + SHEET], axis=1) for at in range(0, len(shown), SHEET)]
    size = f"{side}x{side}"
    still = as_file(looks[-1], "webp", 90)
    frames.output(still, index=0, preview=0, pixels=size, mime="image/webp", variant="thumbnail")
    sheet = as_file(np.concatenate(rows), "jpeg", 90)
    frames.output(sheet, index=0, preview=1, pixels=size, mime="image/jpeg", variant="spritesheet")
    frames.output(as_film(looks, order["rate"]), index=0, pixels=size, mime="video/mp4")
    frames.done()


def _scene(prompt: str) -> Scene:
    from nexus_inference_adapters.painter import read

    reading = read(prompt)
    if reading.unknown or reading.problem or reading.scene is None:
        raise _Refused("prompt", _refusal(reading))
    return reading.scene


def _original(order: dict[str, Any], files: dict[str, bytes]) -> Original:
    from nexus_inference_adapters.painter import Original

    one_more_job(READ_SECONDS)
    found = {name: _read(name, data) for name, data in files.items()}
    one_more_job()
    picture, mask = found["image"], found.get("mask")
    if mask is not None and mask.shape != picture.shape:
        sizes = (f"{each.shape[1]}x{each.shape[0]}" for each in (mask, picture))
        raise _Refused(
            "mask", f"'mask' has {' pixels, and the picture '.join(sizes)}: send one of the same size."
        )
    original = Original.of(picture, mask)
    if mask is not None and original.anew is not None and not original.anew.any():
        raise _Refused("mask", "'mask' is transparent nowhere: what is to be painted anew must be, wholly.")
    high, wide = picture.shape[:2]
    side: int | None = order["side"]
    if side is None:
        return original
    if high != wide:
        raise _Refused(
            "size", f"'size' must be auto for a picture of {wide}x{high} pixels: only squares are resized."
        )
    return original.sized(side, side)


def _read(name: str, data: bytes) -> NDArray[np.uint8]:
    from nexus_inference_adapters.painter import SMALLEST

    try:
        return read_picture(data, SMALLEST, LARGEST_READ)
    except UnreadableError as error:
        raise _Refused(name, f"'{name}' {error}.", "invalid_image") from None


def _usual_strength(original: Original) -> float:
    return CHANGED if original.anew is None else 1.0


def _whole(model: Model, step: Step, original: Original | None, high: int, wide: int) -> NDArray[np.uint8]:
    from nexus_inference_adapters.painter import LARGEST, SMALLEST, finished

    picture = finished(model, step.guess, min(LARGEST, max(SMALLEST, high, wide)))
    return picture if original is None else original.put_back(picture)


def _refusal(reading: Reading) -> str:
    """Why it does not paint, with the words that there are."""
    why = reading.problem or ""
    if reading.unknown:
        named = ", ".join(repr(word[:32]) for word in dict.fromkeys(reading.unknown[:10]))
        why = f"This painter was never taught {named}."
    return f"{why} {_words()} Example: {EXAMPLE}."


def _words() -> str:
    from nexus_inference_adapters.painter import COLOURS, COUNTS, NOUNS, RELATIONS, SIZES

    told = {
        "things": NOUNS,
        "colours": COLOURS,
        "counts up to four": [word for word in COUNTS if word.isalpha()],
        "sizes": SIZES,
        "relations": RELATIONS,
    }
    return " ".join(
        f"{'It knows the ' if not at else ''}{name}: {', '.join(words)}{'.' if at == len(told) - 1 else ';'}"
        for at, (name, words) in enumerate(told.items())
    )


if __name__ == "__main__":
    main()
