"""The painter's networks in NumPy: what a picture in noise shows, and a picture of twice the side.

Their weights and layers are those of tools/image_model/network.py; tools/image_model/export.py compares what the two
say before it writes the weights.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nexus_inference_adapters.painter.scene import FIELDS

__all__ = ["SIDE", "WEIGHTS", "Floats", "Model", "Told", "load"]

Floats = NDArray[np.float32]

WEIGHTS = Path(__file__).parent / "models" / "nexus-painter.safetensors"
SIDE = 64
"""The side of the pictures that the network itself sees, in pixels."""
PATCH = 4
HEADS = 4
TIMES = 64
PLACE = tuple(FIELDS).index("place")
TYPES = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}


def load(path: Path = WEIGHTS) -> Model:
    """The model in a safetensors file of 16- or 32-bit floats; ValueError if it is not one of the painter's."""
    raw = path.read_bytes()
    try:
        size = int.from_bytes(raw[:8], "little")
        header: dict[str, dict[str, object]] = json.loads(raw[8 : 8 + size])
        header.pop("__metadata__", None)
        data = memoryview(raw)[8 + size :]
        return Model({name: _tensor(entry, data) for name, entry in header.items()})
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path.name} has no weights of the painter") from error


def _tensor(entry: dict[str, object], data: memoryview) -> Floats:
    match entry:
        case {"dtype": str(kind), "shape": [*shape], "data_offsets": [int(begin), int(end)]}:
            return (
                np.frombuffer(data[begin:end], TYPES[kind])
                .reshape([int(x) for x in shape])
                .astype(np.float32)
            )
        case _:
            raise TypeError(entry)


class Told(NamedTuple):
    """Two scenes, the asked one and none: as tokens, (2, groups + 1, width), as what all layers are told, (2, width),
    where the groups may be, (2, groups, parts), and what is at each part of the picture, (2, parts, width)."""

    tokens: Floats
    scene: Floats
    where: Floats
    seen: Floats


class Model:
    """Pure functions of pictures, given weights by their names: of a linear layer (in, out), of a convolution
    (3 * 3 * in, out), each with its bias."""

    def __init__(self, weights: dict[str, Floats]) -> None:
        self._weights = weights
        self._fields = sum(name.startswith("painter.fields.") for name in weights)
        self._layers = {
            part: list(
                dict.fromkeys(
                    name[: len(part) + 2] for name in sorted(weights) if name.startswith(f"{part}.")
                )
            )
            for part in (
                "painter.falling",
                "painter.thinking",
                "painter.looking",
                "painter.rising",
                "enlarger.layers",
            )
        }
        if not all(self._layers.values()):
            raise KeyError("layers")

    def told(self, indices: NDArray[np.int64], coordinates: Floats) -> Told:
        """The scene of these indices (`scene.encoded`) laid out so (`layout.coordinates`), and none, which guidance
        leads away from."""
        groups = indices[:-1].reshape(-1, self._fields)
        embedded = [
            sum((self._weights[f"painter.fields.{i}"][index] for i, index in enumerate(group)), np.float32(0))
            for group in groups
        ]
        asked = np.stack([*embedded, self._weights["painter.background"][indices[-1]]])
        tokens = np.stack([asked, self._weights["painter.nothing"]])
        tokens = tokens + self._linear("painter.mixes.2", _silu(self._linear("painter.mixes.0", tokens)))
        where = self._weights["painter.where"][groups[:, PLACE]]
        where = np.stack([where, np.zeros_like(where)])
        places = np.stack([coordinates, np.zeros_like(coordinates)])
        kinds = self._linear("painter.kinds", tokens[:, : len(groups)])[:, :, None]
        near = _silu(self._linear("painter.inside", places) + kinds)
        seen = (_silu(self._linear("painter.thinks", near)) * places[..., :1]).sum(1)
        return Told(tokens, self._linear("painter.scene", tokens.reshape(2, -1)), where, seen)

    def guess(self, noisy: Floats, time: float, told: Told) -> Floats:
        """What a picture in noise shows, with the scene and without, (2, SIDE, SIDE, 3), colours from -1 to 1.

        `noisy` is (SIDE, SIDE, 3): `time` shares of a picture, the rest noise.
        """
        tokens = told.tokens
        octaves = np.exp(
            np.arange(TIMES // 2, dtype=np.float32) * np.float32(-math.log(10000) / (TIMES // 2))
        )
        waves = np.float32(1000 * time) * octaves
        moment = _silu(self._linear("painter.times.0", np.concatenate([np.sin(waves), np.cos(waves)])))
        known = _silu(self._linear("painter.times.2", moment) + told.scene)
        entered = (
            self._convolution("painter.enter", _folded(noisy[None], PATCH)) + self._weights["painter.places"]
        )
        x = self._drawn(0, self._placed(0, np.repeat(entered, 2, axis=0), told), told)
        for name in self._layers["painter.falling"]:
            x = self._block(name, x, known)
        kept = x
        x = self._linear("painter.down", _folded(x, 2)) + self._weights["painter.positions"]
        x = self._placed(1, x, told)
        for think, look in zip(
            self._layers["painter.thinking"], self._layers["painter.looking"], strict=True
        ):
            x = self._attention(look, self._block(think, x, known), known, tokens)
        risen = _unfolded(self._linear("painter.up", x), 2)
        x = self._linear("painter.meets", np.concatenate([risen, kept], 3))
        x = self._drawn(1, self._placed(2, x, told), told)
        for name in self._layers["painter.rising"]:
            x = self._block(name, x, known)
        return _unfolded(self._convolution("painter.leave", _silu(_normal(x))), PATCH)

    def enlarged(self, small: Floats) -> Floats:
        """The picture, (h, w, 3), with twice the side, (2 h, 2 w, 3), colours from -1 to 1."""
        x = small[None]
        *before, last = self._layers["enlarger.layers"]
        for name in before:
            x = _silu(self._convolution(name, x))
        return small.repeat(2, 0).repeat(2, 1) + _unfolded(self._convolution(last, x), 2)[0]

    def _placed(self, number: int, x: Floats, told: Told) -> Floats:
        """Adds to each part of a picture what the groups are that are likely there."""
        count, high, wide, _ = x.shape
        groups = told.where.shape[1]
        side = math.isqrt(told.where.shape[2])
        where = told.where.reshape(count, groups, high, side // high, wide, side // wide).mean((3, 5))
        content = self._linear(f"painter.placing.{number}", told.tokens[:, :groups])
        return x + (where.reshape(count, groups, -1).transpose(0, 2, 1) @ content).reshape(x.shape)

    def _drawn(self, number: int, x: Floats, told: Told) -> Floats:
        return x + self._linear(f"painter.draws.{number}", told.seen).reshape(x.shape)

    def _linear(self, name: str, x: Floats) -> Floats:
        return x @ self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]

    def _convolution(self, name: str, x: Floats) -> Floats:
        """Three by three, of (n, h, w, channels)."""
        count, high, wide, channels = x.shape
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        seen = sliding_window_view(padded, (3, 3), (1, 2)).transpose(0, 1, 2, 4, 5, 3)
        return self._linear(name, seen.reshape(count, high, wide, 9 * channels))

    def _block(self, name: str, x: Floats, known: Floats) -> Floats:
        inner = _silu(self._convolution(f"{name}.first", _modulated(x, self._linear(f"{name}.told", known))))
        return x + self._linear(f"{name}.second", inner)

    def _attention(self, name: str, x: Floats, known: Floats, tokens: Floats) -> Floats:
        count, high, wide, width = x.shape
        before, after = np.split(self._linear(f"{name}.told", known), 2, 1)
        flat = _modulated(x, before).reshape(count, high * wide, width)
        offers = np.concatenate(
            [self._linear(f"{name}.offers", flat), self._linear(f"{name}.tokens", tokens)], 1
        )
        keys, values = np.split(offers, 2, 2)
        asks, keys, values = (
            each.reshape(count, each.shape[1], HEADS, width // HEADS).transpose(0, 2, 1, 3)
            for each in (self._linear(f"{name}.asks", flat), keys, values)
        )
        scores = asks @ keys.transpose(0, 1, 3, 2) * np.float32((width // HEADS) ** -0.5)
        scores = np.exp(scores - scores.max(3, keepdims=True))
        seen = (scores / scores.sum(3, keepdims=True)) @ values
        x = x + self._linear(f"{name}.joins", seen.transpose(0, 2, 1, 3).reshape(x.shape))
        flat = _modulated(x, after)
        return x + self._linear(f"{name}.narrows", _silu(self._linear(f"{name}.widens", flat)))


def _silu(x: Floats) -> Floats:
    return np.divide(x, 1 + np.exp(-np.maximum(x, -80)), dtype=np.float32)  # e^80 is still a 32-bit float


def _normal(x: Floats) -> Floats:
    centred = x - x.mean(3, keepdims=True)
    spread = np.sqrt((centred * centred).mean(3, keepdims=True) + np.float32(1e-5), dtype=np.float32)
    return centred / spread


def _modulated(x: Floats, told: Floats) -> Floats:
    scale, shift = np.split(told[:, None, None, :], 2, 3)
    return _normal(x) * (1 + scale) + shift


def _folded(x: Floats, by: int) -> Floats:
    """Each square of pixels as one of more channels."""
    count, high, wide, channels = x.shape
    cut = x.reshape(count, high // by, by, wide // by, by, channels).transpose(0, 1, 3, 5, 2, 4)
    return cut.reshape(count, high // by, wide // by, channels * by * by)


def _unfolded(x: Floats, by: int) -> Floats:
    """The opposite of `_folded`."""
    count, high, wide, channels = x.shape
    cut = x.reshape(count, high, wide, channels // by**2, by, by).transpose(0, 1, 4, 2, 5, 3)
    return cut.reshape(count, high * by, wide * by, channels // by**2)
