"""The network as it is trained, in PyTorch; the adapters have the same forward pass in NumPy."""
# pyright: reportMissingImports=false

from __future__ import annotations

import math

import torch
from nexus_inference_adapters.painter.layout import BOXES, COORDINATES
from nexus_inference_adapters.painter.scene import FIELDS, GROUPS
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["SIDE", "Enlarger", "Painter"]

SIDE = 64
PATCH = 4
WIDE, DEEP, TOLD, INSIDE = 48, 96, 192, 160
HEADS = 4
TIMES = 64
PLACE = tuple(FIELDS).index("place")


class Block(nn.Module):
    """Looks around, at what the network is told of the time and the scene too."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.told = nn.Linear(TOLD, 2 * width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        return x + self.second(functional.silu(self.first(_modulated(x, self.told(told)))))


class Attention(nn.Module):
    """Every place looks at every other one and at the scene's tokens, then thinks by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.told = nn.Linear(TOLD, 4 * width)
        self.asks = nn.Linear(width, width)
        self.offers = nn.Linear(width, 2 * width)
        self.tokens = nn.Linear(width, 2 * width)
        self.joins = nn.Linear(width, width)
        self.widens = nn.Linear(width, 3 * width)
        self.narrows = nn.Linear(3 * width, width)
        nn.init.zeros_(self.joins.weight)
        nn.init.zeros_(self.narrows.weight)

    def forward(self, x: Tensor, told: Tensor, tokens: Tensor) -> Tensor:
        count, width, high, across = x.shape
        before, after = self.told(told).chunk(2, 1)
        flat = _modulated(x, before).permute(0, 2, 3, 1).reshape(count, high * across, width)
        offers = torch.cat([self.offers(flat), self.tokens(tokens)], 1)
        keys, values = offers.chunk(2, 2)
        heads = [
            each.reshape(count, each.shape[1], HEADS, width // HEADS).transpose(1, 2)
            for each in (self.asks(flat), keys, values)
        ]
        weights = (heads[0] @ heads[1].transpose(2, 3) * (width // HEADS) ** -0.5).softmax(3)
        seen = (weights @ heads[2]).transpose(1, 2).reshape(flat.shape)
        x = x + _image(self.joins(seen), high)
        flat = _modulated(x, after).permute(0, 2, 3, 1).reshape(count, high * across, width)
        return x + _image(self.narrows(functional.silu(self.widens(flat))), high)


class Painter(nn.Module):
    """Says of a picture in noise what the picture is."""

    def __init__(self) -> None:
        super().__init__()
        self.fields = nn.ModuleList([nn.Embedding(len(values), DEEP) for values in FIELDS.values()])
        self.background = nn.Embedding(len(FIELDS["colour"]), DEEP)
        self.nothing = nn.Parameter(torch.randn(GROUPS + 1, DEEP))
        self.where = nn.Parameter(_boxes())
        self.placing = nn.ModuleList([nn.Linear(DEEP, width) for width in (WIDE, DEEP, WIDE)])
        self.inside = nn.Linear(COORDINATES, INSIDE)
        self.kinds = nn.Linear(DEEP, INSIDE)
        self.thinks = nn.Linear(INSIDE, DEEP)
        self.draws = nn.ModuleList([nn.Linear(DEEP, WIDE) for _ in range(2)])
        for each in self.draws:
            nn.init.zeros_(each.weight)
        self.mixes = nn.Sequential(nn.Linear(DEEP, DEEP), nn.SiLU(), nn.Linear(DEEP, DEEP))
        self.scene = nn.Linear((GROUPS + 1) * DEEP, TOLD)
        self.times = nn.Sequential(nn.Linear(TIMES, TOLD), nn.SiLU(), nn.Linear(TOLD, TOLD))
        self.enter = nn.Conv2d(3 * PATCH**2, WIDE, 3, padding=1)
        self.places = nn.Parameter(torch.zeros(1, WIDE, SIDE // PATCH, SIDE // PATCH))
        self.falling = nn.ModuleList([Block(WIDE) for _ in range(2)])
        self.down = nn.Conv2d(4 * WIDE, DEEP, 1)
        self.positions = nn.Parameter(0.02 * torch.randn(1, DEEP, SIDE // PATCH // 2, SIDE // PATCH // 2))
        self.thinking = nn.ModuleList([Block(DEEP) for _ in range(3)])
        self.looking = nn.ModuleList([Attention(DEEP) for _ in range(3)])
        self.up = nn.Conv2d(DEEP, 4 * WIDE, 1)
        self.meets = nn.Conv2d(2 * WIDE, WIDE, 1)
        self.rising = nn.ModuleList([Block(WIDE) for _ in range(2)])
        self.leave = nn.Conv2d(WIDE, 3 * PATCH**2, 3, padding=1)

    def tokens(self, scene: Tensor, forgotten: Tensor) -> Tensor:
        """(n, GROUPS + 1, DEEP) of the indices of scenes; of a forgotten one what stands for none."""
        count = len(scene)
        groups = scene[:, :-1].reshape(count, GROUPS, len(FIELDS))
        summed = sum(field(groups[:, :, i]) for i, field in enumerate(self.fields))
        tokens = torch.cat([summed, self.background(scene[:, -1:])], 1)
        tokens = torch.where(forgotten[:, None, None], self.nothing, tokens)
        return tokens + self.mixes(tokens)

    def seen(self, coordinates: Tensor, tokens: Tensor) -> Tensor:
        """What is at each part of a picture, (n, parts, DEEP), of the coordinates within the groups' objects."""
        there = coordinates[..., :1]
        near = functional.silu(self.inside(coordinates) + self.kinds(tokens[:, :GROUPS, None]))
        return (functional.silu(self.thinks(near)) * there).sum(1)

    def forward(
        self, noisy: Tensor, time: Tensor, scene: Tensor, coordinates: Tensor, forgotten: Tensor
    ) -> Tensor:
        """(n, 3, SIDE, SIDE) of pictures between -1 and 1 from such in noise, at times from 0, all noise, to 1."""
        tokens = self.tokens(scene, forgotten)
        waves = 1000 * time[:, None] * torch.exp(-math.log(10000) * torch.arange(TIMES // 2) / (TIMES // 2))
        told = self.times(torch.cat([waves.sin(), waves.cos()], 1)) + self.scene(tokens.flatten(1))
        told = functional.silu(told)
        x = functional.pixel_unshuffle(noisy, PATCH).contiguous(memory_format=torch.channels_last)
        seen = self.seen(coordinates * ~forgotten[:, None, None, None], tokens)
        where = self.where[scene[:, PLACE :: len(FIELDS)][:, :GROUPS]] * ~forgotten[:, None, None]
        x = self.enter(x)
        x = self._placed(0, x + self.places.to(x.dtype), where, tokens)
        x = x + _image(self.draws[0](seen), x.shape[2])
        for block in self.falling:
            x = block(x, told)
        kept, x = x, self.down(functional.pixel_unshuffle(x, 2))
        x = x + self.positions.to(x.dtype)
        x = self._placed(1, x, where, tokens)
        for think, look in zip(self.thinking, self.looking, strict=True):
            x = look(think(x, told), told, tokens)
        x = self.meets(torch.cat([functional.pixel_shuffle(self.up(x), 2), kept], 1))
        x = self._placed(2, x, where, tokens)
        x = x + _image(self.draws[1](seen), x.shape[2])
        for block in self.rising:
            x = block(x, told)
        return functional.pixel_shuffle(self.leave(functional.silu(_modulated(x, None))), PATCH)

    def _placed(self, number: int, x: Tensor, where: Tensor, tokens: Tensor) -> Tensor:
        """Adds to each place what the groups are that are likely there."""
        high = x.shape[2]
        maps = functional.avg_pool2d(
            where.unflatten(2, (SIDE // PATCH, SIDE // PATCH)), SIDE // PATCH // high
        )
        content = self.placing[number](tokens[:, :GROUPS])
        return x + _image(maps.flatten(2).transpose(1, 2) @ content, high)


def _boxes() -> Tensor:
    """A map for each place, (places, side * side): 1 where a group there is drawn, learned from then on."""
    side = SIDE // PATCH
    maps = torch.zeros(len(FIELDS["place"]), side, side)
    boxes = BOXES | {"front": (0.3, 0.3, 0.7, 0.7), "behind": (0.0, 0.0, 1.0, 1.0)}
    for number, place in enumerate(FIELDS["place"]):
        x0, y0, x1, y1 = (round(side * each) for each in boxes[place])
        maps[number, y0:y1, x0:x1] = 1
    return maps.flatten(1)


class Enlarger(nn.Module):
    """Twice the side: what a smooth enlargement lacks, seen in a neighbourhood of eleven pixels."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Conv2d(3 if i == 0 else width, 12 if i == 4 else width, 3, padding=1) for i in range(5)]
        )

    def forward(self, small: Tensor) -> Tensor:
        """(n, 3, 2 h, 2 w) of (n, 3, h, w), both between -1 and 1."""
        x = small
        for layer in self.layers[:-1]:
            x = functional.silu(layer(x))
        return functional.interpolate(small, scale_factor=2, mode="nearest") + functional.pixel_shuffle(
            self.layers[-1](x), 2
        )


def _modulated(x: Tensor, told: Tensor | None) -> Tensor:
    normal = functional.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],)).permute(0, 3, 1, 2)
    if told is None:
        return normal
    scale, shift = told[:, :, None, None].chunk(2, 1)
    return normal * (1 + scale) + shift


def _image(flat: Tensor, high: int) -> Tensor:
    return flat.reshape(len(flat), high, -1, flat.shape[2]).permute(0, 3, 1, 2)
