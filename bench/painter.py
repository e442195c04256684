"""How the painter in the box does: what of a hundred and more prompts is found in its pictures, and what they cost.

python -m bench.painter [--seeds 2] [--model FILE]

Found is what `tests/support/pictures.py` sees, by hue and contour alone. Times are of one thread.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psutil
from nexus_inference_adapters.painter import prompt, sample
from nexus_inference_adapters.painter.model import WEIGHTS, Model, load
from nexus_inference_adapters.painter.vocabulary import COLOURS, NOUNS

from tests.support.pictures import Verdict, judged

SIDES = (64, 128, 256)
SIDE = 128


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--model", type=Path, default=WEIGHTS)
    arguments.add_argument("--seeds", type=int, default=1)
    arguments.add_argument("--steps", type=int, default=sample.STEPS)
    arguments.add_argument("--guidance", type=float, default=sample.GUIDANCE)
    arguments.add_argument(
        "--misses", action="store_true", help="name the prompts of which something was not found"
    )
    chosen = arguments.parse_args()
    process = psutil.Process()
    before = process.memory_info().rss
    model = load(chosen.model)
    loaded = process.memory_info().rss
    _score(model, chosen)
    _times(model)
    print(
        f"memory: {(loaded - before) / 2**20:.0f} MiB for the model, {process.memory_info().rss / 2**20:.0f} in all"
    )


def _score(model: Model, chosen: argparse.Namespace) -> None:
    found: dict[str, list[Verdict]] = defaultdict(list)
    for kind, text in prompts():
        read = prompt.read(text)
        assert read.scene
        assert (read.unknown, read.problem) == ((), None), text
        for seed in range(1, chosen.seeds + 1):
            *_, last = sample.painted(
                model, read.scene, seed=seed, steps=chosen.steps, guidance=chosen.guidance
            )
            verdict = judged(read.scene, sample.finished(model, last.guess, SIDE))
            found[kind].append(verdict)
            missed = [name for name in Verdict.__dataclass_fields__ if not getattr(verdict, name)]
            if missed and chosen.misses:
                print(f"  {text} (seed {seed}): {', '.join(missed)}", flush=True)
    everything = [verdict for verdicts in found.values() for verdict in verdicts]
    for kind, verdicts in (*found.items(), ("all", everything)):
        shares = {
            name: sum(getattr(each, name) for each in verdicts) for name in Verdict.__dataclass_fields__
        }
        both = sum(each.colours and each.shapes and each.places for each in verdicts)
        told = ", ".join(f"{name} {100 * share / len(verdicts):.0f} %" for name, share in shares.items())
        print(
            f"{kind}: {len(verdicts)} pictures: colour and shape where asked "
            f"{100 * both / len(verdicts):.1f} % ({told})"
        )


def _times(model: Model) -> None:
    scene = prompt.read("a red circle on a blue square").scene
    assert scene
    for side in SIDES:
        began = time.perf_counter(), time.process_time()
        *_, last = sample.painted(model, scene, seed=1)
        sample.finished(model, last.guess, side)
        print(
            f"{side} px: {time.perf_counter() - began[0]:.2f} s, "
            f"of the processor {time.process_time() - began[1]:.2f} s"
        )


def prompts() -> Iterator[tuple[str, str]]:
    """Prompts by kind: each noun, each colour, and what can be said of two."""
    nouns, colours = list(NOUNS), list(COLOURS)
    articles = {noun: "an" if noun[0] in "aou" else "a" for noun in (*nouns, *colours)}
    plural = {noun: next((each for each in NOUNS[noun] if each.endswith("s")), noun) for noun in nouns}
    for i, noun in enumerate(nouns):
        colour = colours[i % len(colours)]
        other, paint = nouns[(i * 7 + 5) % len(nouns)], colours[(i * 5 + 4 + i // 12) % len(colours)]
        if paint == colour:
            paint = colours[(colours.index(paint) + 3) % len(colours)]
        one, two = f"{articles[colour]} {colour} {noun}", f"{articles[paint]} {paint} {other}"
        ground = next(each for each in ("white", "yellow", "black") if each not in {colour, paint})
        count = ("two", "three", "four")[i % 3]
        place = ("on the left", "in the top right corner", "in the middle", "at the bottom")[i % 4]
        relation = ("above", "to the left of", "below", "next to", "and", "to the right of")[i % 6]
        yield "one", one
        yield "one, placed", f"{one} {place} on a {ground} background"
        yield "several", f"{count} {colour} {plural[noun]}"
        yield "two", f"{one} {relation} {two}"
        if i % 2 == 0:
            base = ("square", "circle", "heart", "diamond")[i // 2 % 4]
            on = nouns[(i + 1) % len(nouns)] if noun == base else noun
            yield "one on another", f"{articles[colour]} {colour} {on} on {articles[paint]} {paint} {base}"


if __name__ == "__main__":
    main()
