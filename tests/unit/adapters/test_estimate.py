"""The estimate is the same every time, grows with the text, and knows scripts apart."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from nexus_inference_adapters.contract.estimate import (
    ANSWER_BEGINS,
    PER_MEDIUM,
    PER_MESSAGE,
    estimate,
    tokens_of,
)
from nexus_inference_adapters.vocabulary import CHAT, COMPLETION, EMBEDDING
from support.properties import examples, given

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("four", 1),
        ("fives", 2),
        ("привет", 3),
        ("日本語", 3),
        ("สวัสดี", 6),
        ("🙂", 2),
        ("né", 1),
    ],
)
def test_scripts(text: str, tokens: int) -> None:
    assert tokens_of(text) == tokens


@examples(2_000)
@given(st.text(), st.text())
def test_a_longer_text_has_no_fewer_tokens_and_no_more_than_its_parts(one: str, other: str) -> None:
    together = tokens_of(one + other)
    assert max(tokens_of(one), tokens_of(other)) <= together <= tokens_of(one) + tokens_of(other)


@examples(2_000)
@given(st.text(min_size=1))
def test_a_text_has_a_token_and_never_more_than_two_a_character(text: str) -> None:
    assert 1 <= tokens_of(text) <= 2 * len(text)
    assert tokens_of(text) == tokens_of(text)


def test_messages_tools_and_media_all_count() -> None:
    parts = [{"type": "text", "text": "good"}, {"type": "image_url", "image_url": {"url": "x" * 10_000}}]
    bare: dict[str, Any] = {"messages": [{"role": "user", "content": "good"}]}
    assert estimate(CHAT, bare) == 1 + PER_MESSAGE + ANSWER_BEGINS
    assert (
        estimate(CHAT, {"messages": [{"role": "user", "content": parts}]})
        == estimate(CHAT, bare) + PER_MEDIUM
    )
    assert estimate(CHAT, {**bare, "tools": [{"type": "function"}]}) > estimate(CHAT, bare)
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "f"}}]}
    assert estimate(CHAT, {"messages": [called]}) > PER_MESSAGE + ANSWER_BEGINS


def test_prompts_count_together_and_token_ids_as_themselves() -> None:
    assert estimate(COMPLETION, {"prompt": "good"}) == 1
    assert estimate(COMPLETION, {"prompt": ["good", "fives"]}) == 3
    assert estimate(EMBEDDING, {"input": [5, 6, 7]}) == 3
    assert estimate(EMBEDDING, {"input": [[5, 6], [7]]}) == 3


@examples(2_000)
@given(st.dictionaries(st.sampled_from(["messages", "prompt", "input", "tools"]), JSON))
def test_whatever_is_sent_is_estimated(body: dict[str, Any]) -> None:
    for operation in (CHAT, COMPLETION, EMBEDDING):
        assert estimate(operation, body) >= 0
