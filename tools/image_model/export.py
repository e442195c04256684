"""Writes both networks as the adapters read them, and compares what the two say."""
# pyright: reportMissingImports=false

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from nexus_inference_adapters.painter.layout import coordinates, laid_out
from nexus_inference_adapters.painter.model import load
from nexus_inference_adapters.painter.scene import Group, Scene, encoded
from safetensors.torch import save_file
from torch import Tensor

from tools.image_model.network import SIDE, Enlarger, Painter

__all__ = ["export"]

ALLOWED = 0.03
"""How far the two may differ, of colours from -1 to 1: what 16-bit weights change, and no more."""


def export(path: Path, painter: Painter, enlarger: Enlarger) -> None:
    """A safetensors file of 16-bit floats; RuntimeError if the adapters' pass then says something else."""
    networks = {"painter": painter, "enlarger": enlarger}
    tensors = {
        f"{network}.{name.removesuffix('.weight') if '.weight' in name and _is_table(name) else name}": _laid(
            name, each
        )
        for network, module in networks.items()
        for name, each in module.state_dict().items()
    }
    save_file(tensors, path)
    _compare(path, painter, enlarger)


def _is_table(name: str) -> bool:
    return name.startswith(("fields.", "background."))


def _laid(name: str, weight: Tensor) -> Tensor:
    """Channels last: (in, out) of a linear layer, (3 * 3 * in, out) of a convolution."""
    if weight.ndim == 4 and name.endswith("weight"):
        weight = weight.permute(2, 3, 1, 0).reshape(-1, len(weight))
    elif weight.ndim == 4:
        weight = weight.permute(0, 2, 3, 1)
    elif name.endswith("weight") and not _is_table(name):
        weight = weight.T
    return weight.half().contiguous()


def _compare(path: Path, painter: Painter, enlarger: Enlarger) -> None:
    model = load(path)
    asked = Scene((Group("star", "red", 2, "front"), Group("boat", "blue", 1, "behind")), "white")
    scene, places = encoded(asked), coordinates(laid_out(asked, random.Random(1)))
    noisy = torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        told = [torch.from_numpy(np.stack([each, each])) for each in (scene, places)]
        theirs = painter(
            noisy.expand(2, -1, -1, -1), torch.tensor([0.4, 0.4]), *told, torch.tensor([False, True])
        ).permute(0, 2, 3, 1)
        larger = enlarger(noisy[None])[0].permute(1, 2, 0)
    seen = noisy.permute(1, 2, 0).contiguous().numpy()
    ours, ours_larger = model.guess(seen, 0.4, model.told(scene, places)), model.enlarged(seen)
    gaps = [float(np.abs(ours - theirs.numpy()).max()), float(np.abs(ours_larger - larger.numpy()).max())]
    print(f"NumPy and PyTorch differ by at most {max(gaps):.4f}")
    if max(gaps) > ALLOWED:
        raise RuntimeError(f"the two passes differ by {gaps}")
