"""Trains the painter by flow matching: from a picture in noise to the picture, one fixed seed."""
# pyright: reportMissingImports=false

from __future__ import annotations

import copy
import random
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from nexus_inference_adapters.painter.layout import coordinates
from nexus_inference_adapters.painter.scene import encoded
from torch import Tensor

from tools.image_model.network import SIDE, Painter
from tools.image_model.scenes import example

__all__ = ["train"]

SEED = 20261128
WORKERS = (
    2  # PyTorch lets go of the interpreter, so threads are enough; each then computes in one thread itself
)
BATCH = 8
"""Of each worker."""
RATE = 2e-3
WARM_UP = 200
FALL = 0.6
"""The share of the steps in which the learning rate falls."""
FORGOTTEN = 0.1
"""The share of pictures that are learned without their scene, for guidance."""
KEPT = 0.998
"""How much of the running mean of the weights a step leaves."""
NEAREST = 0.4
"""Less noise than this does not make an error weigh more."""


def train(steps: int, checkpoints: Path) -> Painter:
    """The running mean of the weights after so many steps; goes on from the newest checkpoint."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    network = Painter()
    mean = copy.deepcopy(network).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    began, running, done = time.monotonic(), 0.0, 0
    newest = checkpoints / "newest.pt"
    if newest.exists():
        saved = torch.load(newest, weights_only=True)
        network.load_state_dict(saved["network"])
        mean.load_state_dict(saved["mean"])
        optimiser.load_state_dict(saved["optimiser"])
        done, running = saved["step"], saved["running"]
    workers = ThreadPoolExecutor(WORKERS)
    for step in range(done, steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * rate(step, steps)
        seeds = [(SEED + step) * WORKERS + worker for worker in range(WORKERS)]
        results = list(workers.map(partial(_learned, network), seeds))
        for each, *gradients in zip(network.parameters(), *(found for _, found in results), strict=True):
            each.grad = torch.stack(gradients).mean(0)
        loss = sum(each for each, _ in results) / WORKERS
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        kept = min(KEPT, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(mean.parameters()), list(network.parameters()), 1 - kept)
        running = loss if step == 0 else 0.98 * running + 0.02 * loss
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step:5d}  loss {running:.4f}  {time.monotonic() - began:5.0f} s", flush=True)
        if step % 250 == 249 or step == steps - 1:
            saved = {"network": network.state_dict(), "mean": mean.state_dict(), "running": running}
            saved |= {"optimiser": optimiser.state_dict(), "step": step + 1}
            torch.save(saved, newest.with_suffix(".part"))
            newest.with_suffix(".part").replace(newest)
    return mean


def _learned(network: Painter, seed: int) -> tuple[float, tuple[Tensor, ...]]:
    """The loss of a batch, and its gradients; the same ones for the same seed and weights."""
    loss = _loss(network, seed)
    return loss.item(), torch.autograd.grad(loss, list(network.parameters()))


def _batch(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures between -1 and 1, the indices of their scenes and the coordinates of their layouts."""
    chance = random.Random(seed)
    scenes, layouts, drawn = zip(*(example(chance, SIDE) for _ in range(BATCH)), strict=True)
    pictures = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float() / 127.5 - 1
    told = torch.from_numpy(np.stack([encoded(each) for each in scenes]))
    return pictures, told, torch.from_numpy(np.stack([coordinates(each) for each in layouts]))


def _loss(network: Painter, seed: int) -> Tensor:
    """The error of what the flow's velocity would be, at times that see mostly noise."""
    pictures, scenes, places = _batch(seed)
    dice = torch.Generator().manual_seed(seed)
    moment = torch.sigmoid(torch.randn(len(pictures), generator=dice) * 1.2 - 0.8)
    share = moment[:, None, None, None]
    noisy = share * pictures + (1 - share) * torch.randn(pictures.shape, generator=dice)
    forgotten = torch.rand(len(pictures), generator=dice) < FORGOTTEN
    with torch.autocast("cpu", torch.bfloat16):
        guess = network(noisy, moment, scenes, places, forgotten)
    weights = 1 / (1 - moment).clamp(min=NEAREST) ** 2
    return ((guess.float() - pictures) ** 2).mean((1, 2, 3)).mul(weights).mean()


def rate(step: int, steps: int) -> float:
    """The share of the full learning rate: up in a line, level, then down in a line to nothing."""
    return min(1.0, (step + 1) / WARM_UP, (steps - step) / (FALL * steps))
