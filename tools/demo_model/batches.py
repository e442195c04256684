"""Cuts conversations into batches of similar length: tokens in, the tokens to be learned out."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import numpy as np
from tokenizers import Tokenizer

from tools.demo_model.corpus import Corpus, Piece

POOL = 1024
TOKENS_PER_BATCH = 1200
LONG_SHARE = 0.03
WHOLE_SHARE = 0.1
OPENING = 10
IGNORED = -1

Example = tuple[list[int], list[int]]
Batch = tuple[np.ndarray, np.ndarray]


def whole_conversations(corpus: Corpus, tokenizer: Tokenizer, context: int, seed: int) -> Iterator[Batch]:
    """Endless (tokens, targets) of shape (batch, length); targets are IGNORED but in answers."""
    random = Random(seed)
    while True:
        conversations = (corpus.conversation(long=random.random() < LONG_SHARE) for _ in range(POOL))
        yield from _shuffled([encode(pieces, tokenizer, context) for pieces in conversations], random)


def openings(corpus: Corpus, tokenizer: Tokenizer, context: int, seed: int) -> Iterator[Batch]:
    """The same of single questions, most of them with only the first tokens of the answer.

    There an answer is chosen, and the rest of it teaches little more: so twice as many fit into a step.
    """
    random = Random(seed)
    while True:
        examples = (encode(corpus.exchange(), tokenizer, context) for _ in range(POOL))
        yield from _shuffled(
            [_opening(each) if random.random() > WHOLE_SHARE else each for each in examples], random
        )


def encode(pieces: list[Piece], tokenizer: Tokenizer, context: int) -> Example:
    """Tokens and, for each, the token that should follow it, or IGNORED."""
    tokens: list[int] = []
    learned: list[bool] = []
    for piece in pieces:
        ids = tokenizer.encode(piece.text).ids
        tokens += ids
        learned += [piece.learned] * len(ids)
    targets = [token if wanted else IGNORED for token, wanted in zip(tokens[1:], learned[1:], strict=True)]
    return tokens[:-1][:context], targets[:context]


def _opening(example: Example) -> Example:
    tokens, targets = example
    end = next(place for place, target in enumerate(targets) if target != IGNORED) + OPENING
    return tokens[:end], targets[:end]


def _shuffled(pool: list[Example], random: Random) -> Iterator[Batch]:
    pool.sort(key=lambda example: len(example[0]))
    groups = list(_groups(pool))
    random.shuffle(groups)
    return map(_pad, groups)


def _groups(pool: list[Example]) -> Iterator[list[Example]]:
    group: list[Example] = []
    for example in pool:
        if group and len(example[0]) * (len(group) + 1) > TOKENS_PER_BATCH:
            yield group
            group = []
        group.append(example)
    yield group


def _pad(group: list[Example]) -> Batch:
    length = max(len(tokens) for tokens, _ in group)
    tokens = np.zeros((len(group), length), np.int64)
    targets = np.full((len(group), length), IGNORED, np.int64)
    for row, (row_tokens, row_targets) in enumerate(group):
        tokens[row, : len(row_tokens)] = row_tokens
        targets[row, : len(row_targets)] = row_targets
    return tokens, targets
