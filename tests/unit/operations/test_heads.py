"""Turns of one conversation share their head; other prompts do not."""

from __future__ import annotations

from typing import Any

import pytest
from nexus_operations import Body, Operation
from nexus_operations import affinity as affinity_of
from nexus_operations.table import LEAST
from nexus_routing import Conditions as Now
from nexus_routing import Load, Requirements, Table, plan
from support.routing_targets import target

KEYS = {Operation.CHAT: "messages", Operation.COMPLETION: "prompt", Operation.EMBEDDING: "input"}
LONG = "You are a careful assistant. " * 40


def affinity(body: Body) -> int:
    return affinity_of(next(each for each, key in KEYS.items() if key in body), body)


def conversation(first: str, turns: int = 0) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": LONG}, {"role": "user", "content": first}]
    messages += [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "go on"}] * turns
    return {"messages": messages}


def test_turns_of_one_conversation_are_alike_and_other_conversations_are_not() -> None:
    assert affinity(conversation("hello")) == affinity(conversation("hello", turns=3)) != 0
    assert affinity(conversation("hello")) != affinity(conversation("good day"))


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "hi"}]},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        {"prompt": ["a" * LEAST]},
        {"input": "a" * LEAST},
    ],
)
def test_what_is_short_or_no_text_matters_to_nobody(body: dict[str, Any]) -> None:
    assert affinity(body) == 0


def test_heads_stay_where_they_are_until_their_place_is_busy() -> None:
    fleet = [target(name, load=Load(capacity=4)) for name in "abcdef"]
    table, head = Table(fleet), affinity(conversation("hello"))
    homes = {
        plan(table, Requirements(1, "m", affinity=head), Now(turn=turn)).candidates[0].id for turn in range(9)
    }
    assert len(homes) == 1
    busy = Now(active=dict.fromkeys(homes, 2))
    assert plan(table, Requirements(1, "m", affinity=head), busy).candidates[0].id not in homes


def test_few_heads_move_when_one_target_leaves() -> None:
    fleet = [target(name, load=Load(capacity=4)) for name in "abcdef"]
    before, after = Table(fleet), Table(fleet[:-1])

    def home(table: Table, head: int) -> str:
        return plan(table, Requirements(1, "m", affinity=head)).candidates[0].target.backend

    heads = [affinity({"prompt": f"{number} {LONG}"}) for number in range(300)]
    moved = [head for head in heads if home(before, head) not in ("f", home(after, head))]
    assert moved == []
    assert {home(before, head) for head in heads} == set("abcdef")
