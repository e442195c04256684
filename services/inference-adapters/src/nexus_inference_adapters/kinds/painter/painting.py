"""The process that paints: run as a file, so that it loads nothing of the adapter but what it needs.

Orders come on standard input, one JSON object a line: {} for what it can paint, or {"prompt", "seed", "n", "side",
"steps", "previews", "format", "quality"}.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from nexus_inference_adapters.children import Frames, confine, one_more_job
from nexus_inference_adapters.media import as_file

if TYPE_CHECKING:
    from nexus_inference_adapters.painter import Model, Reading

MEMORY = 2 << 30
SIDES = 64
"""Pixels between two sides that there are."""


def main() -> None:
    confine(MEMORY)
    # Threads share sums out by their number, and each takes memory: one of them paints the same on every machine.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    from nexus_inference_adapters.painter import load

    frames, model = Frames(), None
    for line in sys.stdin:
        one_more_job()
        order = json.loads(line)
        if not order:
            frames.done(**_catalogue())
            continue
        try:
            model = model or load()
        except (OSError, ValueError) as error:
            frames.failed(f"its weights cannot be read: {error}")
            continue
        _paint(model, order, frames)


def _catalogue() -> dict[str, object]:
    from nexus_inference_adapters.painter import LARGEST, SMALLEST, STEPS

    return {"sides": list(range(SMALLEST, LARGEST + 1, SIDES)), "steps": STEPS, "words": _words()}


def _paint(model: Model, order: dict[str, Any], frames: Frames) -> None:
    """Frames of each picture, after those of what it looked like on the way."""
    from nexus_inference_adapters.painter import finished, painted, read

    reading = read(order["prompt"])
    if reading.unknown or reading.problem or reading.scene is None:
        frames.done(refused=_refusal(reading))
        return
    steps, side, count = order["steps"], order["side"], order["n"]
    shown = {steps * (number + 1) // (order["previews"] + 1): number for number in range(order["previews"])}
    for index in range(count):
        step = None
        for step in painted(model, reading.scene, seed=order["seed"] + index, steps=steps):
            frames.progress(index * steps + step.number, count * steps)
            if step.number in shown and step.number < steps:
                look = as_file(finished(model, step.guess, side), order["format"], order["quality"])
                frames.output(look, index=index, preview=shown[step.number])
        if step is not None:
            picture = finished(model, step.guess, side)
            frames.output(as_file(picture, order["format"], order["quality"]), index=index)
    frames.done()


def _refusal(reading: Reading) -> str:
    """Why it does not paint, with the words that there are."""
    why = reading.problem or ""
    if reading.unknown:
        named = ", ".join(repr(word[:32]) for word in dict.fromkeys(reading.unknown[:10]))
        why = f"This painter was never taught {named}."
    return f"{why} {_words()} Example: two red stars above a blue house on a white background."


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
