"""Whether an engine read a prompt whole: very long ones too, without a look at every character of them."""

from __future__ import annotations

from typing import Any

import pytest
from nexus_inference_adapters.host.promises import unread
from nexus_inference_adapters.vocabulary import CHAT, COMPLETION
from nexus_operations import SAMPLED, sample

WORDS = "lorem ipsum "
LONG = WORDS * 500_000
TOKENS = len(LONG) // 4


def said(*texts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text} for text in texts]}


@pytest.mark.parametrize(
    "body",
    [said(LONG), said(*[WORDS * 25] * 20_000), said([{"type": "text", "text": LONG}])],
    ids=["one text", "many messages", "parts"],
)
def test_a_very_long_prompt_is_judged_as_a_short_one(body: dict[str, Any]) -> None:
    """A5: 16 MB in one message took the adapter's time for seconds."""
    assert unread(CHAT, body, TOKENS) == 0
    assert unread(CHAT, body, TOKENS // 2) == 0
    assert unread(CHAT, body, 4096) == pytest.approx(TOKENS, rel=0.1)


def test_a_long_prompt_of_a_completion() -> None:
    assert unread(COMPLETION, {"prompt": LONG}, TOKENS) == 0
    assert unread(COMPLETION, {"prompt": LONG}, 4096) == pytest.approx(TOKENS, rel=0.1)


def test_runs_of_one_character_are_few_tokens() -> None:
    assert unread(CHAT, said(" " * 6_000_000), 4096) == 0
    assert unread(CHAT, said((" " * 60 + "ab") * 100_000), 200_000) == 0


def test_scripts_of_many_bytes_are_more_tokens() -> None:
    text = "\u4f60\u597d\u4e16\u754c" * 10_000
    assert unread(CHAT, said(text), 40_000) == 0
    assert unread(CHAT, said(text), 5_000) == pytest.approx(40_000, rel=0.1)


def test_not_more_is_looked_at_than_told() -> None:
    """A5: what is looked at does not grow with the prompt."""
    assert sample(WORDS) == WORDS
    for size in (SAMPLED, SAMPLED + 1, 3 * SAMPLED + 5, 1_000_000):
        assert len(sample("x" * size)) <= SAMPLED
    assert sample("a" * SAMPLED + "b" * SAMPLED).count("b") == SAMPLED // 2
