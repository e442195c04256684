"""Trains the enlarger on drawings of one side and of half of it, the small ones a little spoilt as painted ones are."""
# pyright: reportMissingImports=false

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tools.image_model.network import SIDE, Enlarger
from tools.image_model.scenes import example

__all__ = ["train_enlarger"]

SEED = 20261129
BATCH = 8
RATE = 3e-3
CROP = 32
SPOILT = 0.06
"""At most so much noise, of colours from -1 to 1."""


def train_enlarger(steps: int) -> Enlarger:
    """The weights after so many steps."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    chance = random.Random(SEED)
    network = Enlarger().to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    running = 0.0
    for step in range(steps):
        large = _drawings(chance)
        small = _spoilt(functional.avg_pool2d(large, 2), chance)
        loss = (network(small) - large).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        running = float(loss.detach()) if step == 0 else 0.98 * running + 0.02 * float(loss.detach())
        if step % 100 == 0 or step == steps - 1:
            print(f"enlarger, step {step:5d}  loss {running:.4f}", flush=True)
    return network.eval()


def _drawings(chance: random.Random) -> Tensor:
    """(BATCH, 3, 2 * CROP, 2 * CROP): what is cut from drawings of twice or four times the painter's side."""
    cut = []
    for _ in range(BATCH):
        side = SIDE * chance.choice((2, 2, 4))
        _, _, picture = example(chance, side)
        x, y = (chance.randrange(0, side - 2 * CROP + 1, 2) for _ in range(2))
        cut.append(picture[y : y + 2 * CROP, x : x + 2 * CROP])
    return torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _spoilt(small: Tensor, chance: random.Random) -> Tensor:
    """Some pictures blurred a little, all with a little noise, fine or coarse."""
    blurred = functional.avg_pool2d(functional.pad(small, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = torch.rand(len(small), 1, 1, 1) * 0.5
    coarse = functional.interpolate(torch.randn_like(small[:, :, ::4, ::4]), scale_factor=4, mode="bilinear")
    noise = torch.randn_like(small) if chance.random() < 0.5 else coarse
    return share * blurred + (1 - share) * small + torch.rand(len(small), 1, 1, 1) * SPOILT * noise
