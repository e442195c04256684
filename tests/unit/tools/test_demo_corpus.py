"""The text that the demo model learns from: one seed, one corpus; well-formed patterns; whole sentences."""

from __future__ import annotations

from random import Random

import pytest

from tools.demo_model import patterns
from tools.demo_model.corpus import Corpus, Intent

CORPUS = Corpus(0)
INTENTS = [*CORPUS.known, *CORPUS.unknown]


def text(corpus: Corpus) -> str:
    return "".join(piece.text for piece in corpus.conversation())


def test_a_seed_makes_the_same_conversations() -> None:
    first, second, other = Corpus(1), Corpus(1), Corpus(2)
    made = [text(first) for _ in range(20)]
    assert made == [text(second) for _ in range(20)]
    assert made != [text(other) for _ in range(20)]


@pytest.mark.parametrize("intent", INTENTS, ids=lambda intent: intent.name)
def test_patterns_expand_to_questions_without_leftovers(intent: Intent) -> None:
    slots = CORPUS.slots | {"code": ["x"]}
    for pattern in [*intent.core, *intent.asks]:
        assert pattern.count("(") == pattern.count(")")
        question = patterns.expand(pattern, slots, Random(3))
        assert question
        assert not set("|{}") & set(question)


@pytest.mark.parametrize("intent", INTENTS, ids=lambda intent: intent.name)
def test_answers_are_whole_sentences(intent: Intent) -> None:
    for answer in filter(None, [*intent.answers, intent.more]):
        assert answer[0].isupper()
        assert answer.endswith((".", "!", "?", "```"))


def test_what_is_learned_is_answers_to_their_end() -> None:
    learned = [piece.text for _ in range(50) for piece in CORPUS.conversation() if piece.learned]
    assert all(each.endswith("<|im_end|>") and "<|im_start|>" not in each for each in learned)
