"""The estimate is the same every time, grows with the text, and knows scripts apart."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from nexus_operations import (
    ANSWER_BEGINS,
    PER_MEDIUM,
    PER_MESSAGE,
    SAMPLED,
    SPECS,
    Operation,
    estimate,
    measure,
    tokens_of,
)
from support.properties import given

CHAT, COMPLETION, EMBEDDING = Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDING
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


@given(st.text(), st.text())
def test_a_longer_text_has_no_fewer_tokens_and_no_more_than_its_parts(one: str, other: str) -> None:
    together = tokens_of(one + other)
    assert max(tokens_of(one), tokens_of(other)) <= together <= tokens_of(one) + tokens_of(other)


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


@given(st.dictionaries(st.sampled_from(["messages", "prompt", "input", "tools"]), JSON))
def test_whatever_is_sent_is_estimated(body: dict[str, Any]) -> None:
    for operation in SPECS:
        assert estimate(operation, body) == measure(operation, body).tokens >= 0


LONG = "Some words, "
SPELLINGS: list[tuple[Operation, Any]] = [
    (CHAT, lambda text: {"messages": [{"role": "user", "content": text}]}),
    (CHAT, lambda text: {"messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}),
    (CHAT, lambda text: {"messages": [{"role": "user", "content": [{"type": "input_text", "text": text}]}]}),
    (CHAT, lambda text: {"messages": [{"role": "user", "content": [text]}]}),
    (
        CHAT,
        lambda text: {"messages": [{"role": "assistant", "content": [{"type": "refusal", "refusal": text}]}]},
    ),
    (
        CHAT,
        lambda text: {"messages": [{"role": "tool", "content": [{"type": "tool_result", "content": text}]}]},
    ),
    (CHAT, lambda text: {"messages": [{"role": "assistant", "reasoning_content": text}]}),
    (
        CHAT,
        lambda text: {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": text}}]}]},
    ),
    (
        CHAT,
        lambda text: {"messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": text}}]},
    ),
    (CHAT, lambda text: {"messages": [], "tools": [{"type": "function", "function": {"description": text}}]}),
    (CHAT, lambda text: {"messages": [], "functions": [{"name": "f", "description": text}]}),
    (COMPLETION, lambda text: {"prompt": text}),
    (COMPLETION, lambda text: {"prompt": [text[: len(text) // 2], text[len(text) // 2 :]]}),
    (COMPLETION, lambda text: {"prompt": "", "suffix": text}),
    (COMPLETION, lambda text: {"prompt": [7] * (len(text) // 4)}),
    (EMBEDDING, lambda text: {"input": text}),
    (EMBEDDING, lambda text: {"input": [text[: len(text) // 2], text[len(text) // 2 :]]}),
    (EMBEDDING, lambda text: {"input": [[7] * (len(text) // 4)]}),
]


@pytest.mark.parametrize(("operation", "body"), SPELLINGS)
def test_26_000_characters_count_however_they_are_spelled(operation: Operation, body: Any) -> None:
    text = (LONG * 2200)[:26_000]
    assert estimate(operation, body(text)) == pytest.approx(len(text) / 4, rel=0.02)


@pytest.mark.parametrize("operation", SPECS)
def test_26_000_characters_of_any_operation_count(operation: int) -> None:
    """Whatever there will be: its spec makes a body itself, perhaps with the text in it more than once."""
    text = (LONG * 2200)[:26_000]
    assert 26_000 / 8 < estimate(operation, SPECS[operation].example(text)) < 26_000
    assert measure(operation, SPECS[operation].example(text)).tokens > 26_000 / 8


@pytest.mark.parametrize(("word", "of_each"), [("word", 1), ("日本", 2), ("привет", 3), ("🙂", 2)])
def test_a_very_long_text_is_judged_by_samples(word: str, of_each: float) -> None:
    times = 20 * SAMPLED
    assert tokens_of(word * times) == pytest.approx(of_each * times, rel=0.02)


@given(st.text(), st.lists(st.text(max_size=20), max_size=4))
def test_no_spelling_of_the_same_text_counts_much_more_than_another(text: str, parts: list[str]) -> None:
    said = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": each} for each in (text, *parts)]}]
    }
    whole = {"messages": [{"role": "user", "content": "".join((text, *parts))}]}
    assert estimate(CHAT, whole) <= estimate(CHAT, said) <= estimate(CHAT, whole) + 1 + len(parts)


@given(st.text(max_size=200))
def test_what_may_be_there_is_never_less_than_what_is_on_average(text: str) -> None:
    size = measure(COMPLETION, {"prompt": text})
    assert size.tokens <= size.most + 1
    assert measure(COMPLETION, {"prompt": [text, text]}).most == 0
