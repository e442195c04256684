"""The demo model's hand-written backward pass agrees with finite differences, and it never looks ahead."""

from __future__ import annotations

import numpy as np
import pytest

from tools.demo_model.network import Shape, initial_weights, loss_and_gradients

SHAPE = Shape(vocabulary=40, width=32, heads=2, layers=2, hidden=64)
STEP = 1e-5


def sample() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    tokens, targets = random.integers(0, SHAPE.vocabulary, (2, 2, 7))
    targets[0, :3] = -1
    return tokens, targets


@pytest.mark.parametrize("name", initial_weights(SHAPE, 0))
def test_a_gradient_is_the_slope_of_the_loss(name: str) -> None:
    weights = {each: value.astype(np.float64) * 3 for each, value in initial_weights(SHAPE, 0).items()}
    _, _, gradients = loss_and_gradients(SHAPE, weights, *sample())
    random = np.random.default_rng(1)
    for _ in range(3):
        place = tuple(random.integers(0, size) for size in weights[name].shape)
        middle = weights[name][place]
        around = []
        for nudged in (middle + STEP, middle - STEP):
            weights[name][place] = nudged
            around.append(loss_and_gradients(SHAPE, weights, *sample())[0])
        weights[name][place] = middle
        assert gradients[name][place] == pytest.approx(
            (around[0] - around[1]) / (2 * STEP), rel=1e-4, abs=1e-6
        )


def test_only_learned_targets_count() -> None:
    tokens, targets = sample()
    _, count, _ = loss_and_gradients(SHAPE, initial_weights(SHAPE, 0), tokens, targets)
    assert count == targets.size - 3


def test_a_token_never_sees_what_follows_it() -> None:
    tokens, targets = sample()
    targets[:, 3:] = -1
    changed = tokens.copy()
    changed[:, 4:] = 0
    weights = initial_weights(SHAPE, 0)
    assert loss_and_gradients(SHAPE, weights, tokens, targets)[0] == pytest.approx(
        loss_and_gradients(SHAPE, weights, changed, targets)[0]
    )
