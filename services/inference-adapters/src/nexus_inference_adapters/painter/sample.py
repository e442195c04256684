"""Paints: from noise to a picture in steps along the flow, each of which can be looked at, and be the last."""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nexus_inference_adapters.painter.layout import BOXES, coordinates, laid_out
from nexus_inference_adapters.painter.model import SIDE, Floats, Model
from nexus_inference_adapters.painter.scene import Group, Scene, encoded, settled

__all__ = [
    "GUIDANCE", "LARGEST", "SMALLEST", "STEPS", "Start", "Step", "as_floats", "as_pixels", "finished", "painted",
    "resized", "stretched",
]  # fmt: skip

Pixels = NDArray[np.uint8]

STEPS = 24
GUIDANCE = 2.0
SMALLEST, LARGEST = 64, 512
"""The sides a finished picture can have, in pixels."""
ANYWHERE = "anywhere"
ANYTHING = Scene((Group("circle"),))
SHIFT = 2.0
"""How much finer the steps are in the noise, where what is seen is decided, than near the picture."""


@dataclass(frozen=True, slots=True)
class Start:
    """A picture to begin with, (h, h, 3), and where to paint it anew: everywhere, or where `mask`, (h, h), is true.

    With `strength` 1 what is painted anew owes nothing to the picture; near 0 it hardly changes, whatever the
    scene says.
    """

    picture: Pixels
    mask: NDArray[np.bool_] | None = None
    strength: float = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """The `number`th of `total`, and what the picture looks like by now: (SIDE, SIDE, 3), colours from -1 to 1."""

    number: int
    total: int
    guess: Floats


def painted(
    model: Model,
    scene: Scene | None,
    *,
    seed: int,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    start: Start | None = None,
) -> Generator[Step, None, None]:
    """Each step of a picture of this scene, None = of what the noise becomes by itself; `finished` of the last one is
    the picture.

    The same arguments give the same bits on the same machine. Who asks for no further step has cancelled.
    ValueError for a seed below 0, no step, a guidance below 0, or a start that is no square or has no strength.
    """
    if seed < 0 or steps < 1 or guidance < 0 or (start and not 0 < start.strength <= 1):
        raise ValueError("a seed from 0, steps from 1, guidance from 0 and a strength above 0, at most 1")
    strength = start.strength if start else 1.0
    # Near the picture's end a step cannot make something else of it any more: guided there all the same, it would be
    # led away from the start without getting anywhere.
    guidance *= strength if scene else 0
    return _steps(model, scene or ANYTHING, seed, steps, guidance, start and _Known(start), strength)


class _Known:
    """What a start gives, seen with the network's eyes."""

    def __init__(self, start: Start) -> None:
        high, wide = start.picture.shape[:2]
        if high != wide or (start.mask is not None and start.mask.shape != (high, wide)):
            raise ValueError("a picture and its mask are squares of the same side")
        self.picture = resized(as_floats(start.picture), SIDE)
        anew = np.ones((high, high, 1), np.float32) if start.mask is None else start.mask[..., None]
        self.anew = resized(anew.astype(np.float32), SIDE)

    def placed(self, scene: Scene) -> Scene:
        """One kind of thing whose place is open is for where there is most to paint anew: seen it is only there."""
        group, *others = scene.groups
        if others or group.place != ANYWHERE:
            return scene
        return replace(scene, groups=(replace(group, place=max(BOXES, key=self._room)),))

    def _room(self, place: str) -> tuple[float, int]:
        """Which share of a place is painted anew, and how large it is."""
        x0, y0, x1, y1 = (round(edge * SIDE) for edge in BOXES[place])
        box = self.anew[y0:y1, x0:x1]
        return round(float(box.mean()), 2), box.size

    def kept(self, guess: Floats) -> Floats:
        return _mixed(self.picture, guess, self.anew)


def _steps(
    model: Model, scene: Scene, seed: int, steps: int, guidance: float, known: _Known | None, strength: float
) -> Generator[Step, None, None]:
    noise = np.random.default_rng(seed).standard_normal((SIDE, SIDE, 3), dtype=np.float32)
    chance = random.Random(seed)
    decided = settled(known.placed(scene) if known else scene, chance)
    told = model.told(encoded(decided), coordinates(laid_out(decided, chance)))
    even = np.linspace(0, 1, steps + 1)
    moments = (1 - strength) + strength * even / (even + SHIFT * (1 - even))
    noisy = noise if known is None else _mixed(noise, known.picture, moments[0])
    for number in range(steps):
        now, then = moments[number], moments[number + 1]
        with_scene, without = model.guess(noisy, float(now), told)
        guess = np.clip(_mixed(without, with_scene, guidance), -1, 1)
        if known is not None:
            guess = known.kept(guess)
        yield Step(number + 1, steps, guess)
        noisy = _mixed(noisy, guess, (then - now) / (1 - now))
        if known is not None:
            noisy = _mixed(_mixed(noise, known.picture, then), noisy, known.anew)


def _mixed(one: Floats, other: Floats, share: float | Floats) -> Floats:
    """From `one` so much of the way to `other`."""
    return (one + np.asarray(share, np.float32) * (other - one)).astype(np.float32, copy=False)


def finished(model: Model, guess: Floats, side: int, start: Start | None = None) -> Pixels:
    """A step's guess as a picture, (side, side, 3); what a start's mask leaves alone is the start's own pixels.

    ValueError for a side below SMALLEST or above LARGEST.
    """
    if not SMALLEST <= side <= LARGEST:
        raise ValueError(f"a side from {SMALLEST} to {LARGEST}")
    picture = guess
    while len(picture) < max(side, 2 * SIDE):
        picture = np.clip(model.enlarged(picture), -1, 1)
    pixels = as_pixels(resized(picture, side))
    if start is None or start.mask is None:
        return pixels
    anew = resized(start.mask[..., None].astype(np.float32), side) > 0
    return np.where(anew, pixels, as_pixels(resized(as_floats(start.picture), side)))


def resized(picture: Floats, side: int) -> Floats:
    """A picture, (h, w, channels), as a square of that side."""
    return stretched(picture, side, side)


def stretched(picture: Floats, high: int, wide: int) -> Floats:
    """A picture, (h, w, channels), in another size: each pixel is the mean of what it covers."""
    own = picture.shape[:2]
    if own == (high, wide):
        return picture
    across = np.einsum("jw,hwc->hjc", _shares(own[1], wide), picture, optimize=True)
    return np.einsum("ih,hwc->iwc", _shares(own[0], high), across, optimize=True)


def _shares(own: int, wanted: int) -> Floats:
    """How much each pixel of a line has of each of another line's, (wanted, own)."""
    edges = np.linspace(0, own, wanted + 1)
    begins = np.maximum(edges[:-1, None], np.arange(own))
    ends = np.minimum(edges[1:, None], np.arange(1, own + 1))
    return (np.clip(ends - begins, 0, None) * (wanted / own)).astype(np.float32)


def as_floats(pixels: Pixels) -> Floats:
    return pixels.astype(np.float32) / np.float32(127.5) - 1


def as_pixels(picture: Floats) -> Pixels:
    return np.clip(np.rint((picture + 1) * 127.5), 0, 255).astype(np.uint8)
