"""Trains the network: a warm-up and a cosine, one fixed seed, two batches a step side by side."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

import numpy as np
from tokenizers import Tokenizer

from tools.demo_model import tokenizer as tokens
from tools.demo_model.batches import Batch, openings, whole_conversations
from tools.demo_model.corpus import Corpus
from tools.demo_model.network import Array, Shape, Weights, initial_weights, loss_and_gradients
from tools.demo_model.optimiser import Optimiser

Learned = tuple[float, int, Weights]

SEED = 20261120
VOCABULARY = 1536
WORKERS = 2  # NumPy lets go of the interpreter, so threads are enough; BLAS should then use one thread itself
TOKENIZER_CONVERSATIONS = 8_000
WARM_UP = 50
OPENINGS_SHARE = 0.65


def train(steps: int) -> tuple[Shape, Tokenizer, Weights]:
    """A trained model and its tokenizer; prints its progress."""
    tokenizer = make_tokenizer()
    shape = Shape(vocabulary=VOCABULARY)
    weights = initial_weights(shape, SEED)
    optimiser = Optimiser(weights)
    corpus = Corpus(SEED)
    first = openings(corpus, tokenizer, shape.context, SEED)
    then = whole_conversations(corpus, tokenizer, shape.context, SEED)
    began, running = time.monotonic(), 0.0
    with ThreadPoolExecutor(WORKERS) as workers:
        for step in range(steps):
            source = first if step < OPENINGS_SHARE * steps else then
            loss, gradients = _step(workers, partial(loss_and_gradients, shape, weights), source)
            optimiser.update(gradients, rate(step, steps))
            running = loss if step == 0 else 0.98 * running + 0.02 * loss
            if step % 50 == 0 or step == steps - 1:
                print(f"step {step:5d}  loss {running:.4f}  {time.monotonic() - began:5.0f} s", flush=True)
    return shape, tokenizer, weights


def _step(
    workers: ThreadPoolExecutor, learn: Callable[[Array, Array], Learned], source: Iterator[Batch]
) -> tuple[float, Weights]:
    """The mean loss of WORKERS batches and its gradients."""
    results = list(workers.map(lambda batch: learn(*batch), islice(source, WORKERS)))
    count = sum(each for _, each, _ in results)
    names = results[0][2]
    gradients = {name: np.sum([each[name] for _, _, each in results], axis=0) / count for name in names}
    return sum(loss for loss, _, _ in results) / count, gradients


def make_tokenizer() -> Tokenizer:
    corpus = Corpus(SEED + 1)
    texts = ("".join(piece.text for piece in corpus.conversation()) for _ in range(TOKENIZER_CONVERSATIONS))
    return tokens.train(texts, VOCABULARY)


def rate(step: int, steps: int) -> float:
    """The share of the full learning rate: up in a line, then down along half a cosine to a hundredth."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    progress = (step - WARM_UP) / max(1, steps - WARM_UP)
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * progress))
