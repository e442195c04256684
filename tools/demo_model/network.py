"""A small Llama in NumPy, its backward pass written out: RMSNorm, rotary attention, SwiGLU, tied embeddings.

NumPy, because its wheels bring a fast BLAS to every machine; MLX on a Linux CPU was thirty times slower.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Weights = dict[str, Array]


@dataclass(frozen=True)
class Shape:
    """The sizes of a model; `width` must be a multiple of 32, the block size of Q8_0."""

    vocabulary: int
    context: int = 2048
    width: int = 160
    layers: int = 3
    heads: int = 5
    hidden: int = 448
    rope_base: float = 10_000.0
    epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        return self.width // self.heads


def initial_weights(shape: Shape, seed: int) -> Weights:
    """Float32 weights; matrices are (inputs, outputs), so that `x @ w` needs no transposition."""
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int, scale: float) -> Array:
        return (random.standard_normal((rows, columns)) * scale).astype(np.float32)

    weights = {
        "embedding": matrix(shape.vocabulary, shape.width, 0.02),
        "norm": np.ones(shape.width, np.float32),
    }
    narrow = shape.width**-0.5
    residual = (2 * shape.layers) ** -0.5
    for layer in range(shape.layers):
        weights |= {
            f"{layer}.attention_norm": np.ones(shape.width, np.float32),
            f"{layer}.query": matrix(shape.width, shape.width, narrow),
            f"{layer}.key": matrix(shape.width, shape.width, narrow),
            f"{layer}.value": matrix(shape.width, shape.width, narrow),
            f"{layer}.output": matrix(shape.width, shape.width, narrow * residual),
            f"{layer}.feed_norm": np.ones(shape.width, np.float32),
            f"{layer}.gate": matrix(shape.width, shape.hidden, narrow),
            f"{layer}.up": matrix(shape.width, shape.hidden, narrow),
            f"{layer}.down": matrix(shape.hidden, shape.width, shape.hidden**-0.5 * residual),
        }
    return weights


def loss_and_gradients(
    shape: Shape, weights: Weights, tokens: Array, targets: Array
) -> tuple[float, int, Weights]:
    """Summed cross-entropy over the targets >= 0, their number, and the gradients of that sum.

    `tokens` and `targets` are (batch, length) integers; a target of -1 is not learned from.
    """
    hidden, caches = _forward(shape, weights, tokens)
    learned = targets >= 0
    rows = hidden[learned]
    logits = rows @ weights["embedding"].T
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    picked = (np.arange(len(rows)), targets[learned])
    loss = float(-np.log(np.maximum(logits[picked], 1e-30)).sum())
    logits[picked] -= 1.0
    gradients: Weights = {"embedding": logits.T @ rows}
    d_hidden = np.zeros_like(hidden)
    d_hidden[learned] = logits @ weights["embedding"]
    _backward(shape, weights, tokens, caches, d_hidden, gradients)
    return loss, len(rows), gradients


def _forward(shape: Shape, weights: Weights, tokens: Array) -> tuple[Array, list[tuple]]:
    rotation = _rotation(shape, tokens.shape[1])
    x = weights["embedding"][tokens]
    caches: list[tuple] = []
    for layer in range(shape.layers):
        x, attention = _attend(shape, weights, layer, x, rotation)
        x, feed = _feed(shape, weights, layer, x)
        caches += [attention, feed]
    x, final = _normalise(x, weights["norm"], shape.epsilon)
    return x, [*caches, final]


def _backward(
    shape: Shape, weights: Weights, tokens: Array, caches: list[tuple], d_x: Array, gradients: Weights
) -> None:
    rotation = _rotation(shape, tokens.shape[1])
    d_x, gradients["norm"] = _normalise_back(d_x, weights["norm"], caches[-1])
    for layer in reversed(range(shape.layers)):
        d_x = _feed_back(weights, layer, d_x, caches[2 * layer + 1], gradients)
        d_x = _attend_back(shape, weights, layer, d_x, caches[2 * layer], rotation, gradients)
    np.add.at(gradients["embedding"], tokens, d_x)


def _normalise(x: Array, scale: Array, epsilon: float) -> tuple[Array, tuple]:
    inverse = 1.0 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(epsilon))
    unit = x * inverse
    return unit * scale, (unit, inverse)


def _normalise_back(d_y: Array, scale: Array, cache: tuple) -> tuple[Array, Array]:
    unit, inverse = cache
    d_scale = np.einsum("btd,btd->d", d_y, unit)
    d_unit = d_y * scale
    return inverse * (d_unit - unit * np.mean(d_unit * unit, axis=-1, keepdims=True)), d_scale


def _rotation(shape: Shape, length: int) -> tuple[Array, Array]:
    frequencies = shape.rope_base ** (-np.arange(0, shape.head_width, 2) / shape.head_width)
    angles = np.outer(np.arange(length), frequencies).astype(np.float32)
    return np.cos(angles), np.sin(angles)


def _rotate(x: Array, cosine: Array, sine: Array) -> Array:
    """Turn each neighbouring pair in (batch, heads, length, head_width), as llama.cpp does for a Llama."""
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = np.empty_like(x)
    turned[..., 0::2] = even * cosine - odd * sine
    turned[..., 1::2] = even * sine + odd * cosine
    return turned


def _split(x: Array, heads: int) -> Array:
    batch, length, width = x.shape
    return np.ascontiguousarray(x.reshape(batch, length, heads, width // heads).transpose(0, 2, 1, 3))


def _merge(x: Array) -> Array:
    batch, heads, length, width = x.shape
    return np.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(batch, length, heads * width)


def _attend(
    shape: Shape, weights: Weights, layer: int, x: Array, rotation: tuple[Array, Array]
) -> tuple[Array, tuple]:
    y, norm = _normalise(x, weights[f"{layer}.attention_norm"], shape.epsilon)
    query = _rotate(_split(y @ weights[f"{layer}.query"], shape.heads), *rotation)
    key = _rotate(_split(y @ weights[f"{layer}.key"], shape.heads), *rotation)
    value = _split(y @ weights[f"{layer}.value"], shape.heads)
    scores = query @ key.swapaxes(-1, -2)
    scores *= np.float32(shape.head_width**-0.5)
    length = x.shape[1]
    scores += np.triu(np.full((length, length), -1e9, np.float32), 1)
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    mixed = _merge(scores @ value)
    return x + mixed @ weights[f"{layer}.output"], (y, norm, query, key, value, scores, mixed)


def _attend_back(
    shape: Shape,
    weights: Weights,
    layer: int,
    d_out: Array,
    cache: tuple,
    rotation: tuple[Array, Array],
    gradients: Weights,
) -> Array:
    y, norm, query, key, value, scores, mixed = cache
    cosine, sine = rotation
    d_mixed = _split(_linear_back(weights, f"{layer}.output", mixed, d_out, gradients), shape.heads)
    d_scores = d_mixed @ value.swapaxes(-1, -2)
    d_scores -= (d_scores * scores).sum(axis=-1, keepdims=True)
    d_scores *= scores
    d_scores *= np.float32(shape.head_width**-0.5)
    d_query = _merge(_rotate(d_scores @ key, cosine, -sine))
    d_key = _merge(_rotate(d_scores.swapaxes(-1, -2) @ query, cosine, -sine))
    d_value = _merge(scores.swapaxes(-1, -2) @ d_mixed)
    d_y = _linear_back(weights, f"{layer}.query", y, d_query, gradients)
    d_y += _linear_back(weights, f"{layer}.key", y, d_key, gradients)
    d_y += _linear_back(weights, f"{layer}.value", y, d_value, gradients)
    d_x, gradients[f"{layer}.attention_norm"] = _normalise_back(d_y, weights[f"{layer}.attention_norm"], norm)
    return d_out + d_x


def _feed(shape: Shape, weights: Weights, layer: int, x: Array) -> tuple[Array, tuple]:
    y, norm = _normalise(x, weights[f"{layer}.feed_norm"], shape.epsilon)
    gate, up = y @ weights[f"{layer}.gate"], y @ weights[f"{layer}.up"]
    sigmoid = 1.0 / (1.0 + np.exp(-gate))
    product = gate * sigmoid * up
    return x + product @ weights[f"{layer}.down"], (y, norm, gate, up, sigmoid, product)


def _feed_back(weights: Weights, layer: int, d_out: Array, cache: tuple, gradients: Weights) -> Array:
    y, norm, gate, up, sigmoid, product = cache
    d_product = _linear_back(weights, f"{layer}.down", product, d_out, gradients)
    swish = gate * sigmoid
    d_up = d_product * swish
    d_gate = d_product * up * (sigmoid + swish * (1.0 - sigmoid))
    d_y = _linear_back(weights, f"{layer}.gate", y, d_gate, gradients)
    d_y += _linear_back(weights, f"{layer}.up", y, d_up, gradients)
    d_x, gradients[f"{layer}.feed_norm"] = _normalise_back(d_y, weights[f"{layer}.feed_norm"], norm)
    return d_out + d_x


def _linear_back(weights: Weights, name: str, x: Array, d_y: Array, gradients: Weights) -> Array:
    """Store the gradient of `x @ weights[name]` by its matrix; return the one by `x`."""
    flat = d_y.reshape(-1, d_y.shape[-1])
    gradients[name] = x.reshape(-1, x.shape[-1]).T @ flat
    return (flat @ weights[name].T).reshape(x.shape)
