"""Updates weights in place: Muon for the matrices of the layers, Adam for the embedding and the scales."""

from __future__ import annotations

import math

import numpy as np

from tools.demo_model.network import Array, Weights

ADAM_RATE, MUON_RATE = 3e-3, 2e-2
FIRST_BETA, SECOND_BETA, EPSILON = 0.9, 0.98, 1e-8
MOMENTUM = 0.95
DECAY = 0.05
NEWTON_SCHULZ = ((3.4445, -4.7750, 2.0315),) * 5


class Optimiser:
    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._mean = {name: np.zeros_like(value) for name, value in weights.items()}
        self._square = {
            name: np.zeros_like(value) for name, value in weights.items() if not _is_hidden(name, value)
        }
        self._steps = 0

    def update(self, gradients: Weights, rate: float) -> None:
        """One step; `rate` from 0 to 1 scales the learning rates."""
        self._steps += 1
        for name, weight in self._weights.items():
            step = (
                self._adam(name, gradients[name])
                if name in self._square
                else self._muon(name, gradients[name])
            )
            if weight.ndim > 1:
                np.multiply(weight, 1.0 - rate * ADAM_RATE * DECAY, out=weight)
            np.subtract(weight, rate * step, out=weight)

    def _adam(self, name: str, gradient: Array) -> Array:
        mean, square = self._mean[name], self._square[name]
        mean += (1.0 - FIRST_BETA) * (gradient - mean)
        square += (1.0 - SECOND_BETA) * (gradient * gradient - square)
        unbiased = mean / (1.0 - FIRST_BETA**self._steps)
        return ADAM_RATE * unbiased / (np.sqrt(square / (1.0 - SECOND_BETA**self._steps)) + EPSILON)

    def _muon(self, name: str, gradient: Array) -> Array:
        mean = self._mean[name]
        mean += (1.0 - MOMENTUM) * (gradient - mean)
        step = orthogonal(gradient + MOMENTUM * (mean - gradient))
        rows, columns = step.shape
        return MUON_RATE * math.sqrt(max(1.0, columns / rows)) * step


def orthogonal(matrix: Array) -> Array:
    """Roughly the nearest matrix whose singular values are all one, by a Newton-Schulz iteration."""
    rows, columns = matrix.shape
    x = matrix if rows <= columns else matrix.T
    x = x / np.float32(np.linalg.norm(x) + 1e-7)
    for a, b, c in NEWTON_SCHULZ:
        square = x @ x.T
        x = np.float32(a) * x + (np.float32(b) * square + np.float32(c) * (square @ square)) @ x
    return x if rows <= columns else x.T


def _is_hidden(name: str, value: Array) -> bool:
    return value.ndim > 1 and name != "embedding"
