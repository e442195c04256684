"""The demo model's optimiser: matrices move in every direction alike, and a simple loss goes down."""

from __future__ import annotations

import numpy as np
import pytest

from tools.demo_model.optimiser import Optimiser, orthogonal


@pytest.mark.parametrize("shape", [(32, 32), (32, 96), (96, 32)])
def test_orthogonal_makes_the_singular_values_about_one(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    singular = np.linalg.svd(orthogonal(matrix), compute_uv=False)
    assert singular.min() > 0.5
    assert singular.max() < 1.5


@pytest.mark.parametrize("name", ["embedding", "0.query", "norm"])
def test_a_quadratic_loss_goes_down(name: str) -> None:
    shape = (32,) if name == "norm" else (32, 32)
    weights = {name: np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    before = float(np.square(weights[name]).sum())
    optimiser = Optimiser(weights)
    for _ in range(50):
        optimiser.update({name: 2 * weights[name]}, rate=1.0)
    assert float(np.square(weights[name]).sum()) < before
    assert weights[name].dtype == np.float32
