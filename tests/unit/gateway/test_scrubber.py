"""A scrubbed body: every text of it, equal values alike, and still a body."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nexus_gateway.scrubbing.findings import find
from nexus_gateway.scrubbing.scrubber import MOST_CHARACTERS, MOST_DIGITS, Scrubber, TooMuchError

ANN, BOB = "ann@example.com", "bob@example.com"


def scrubbed(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
    scrubber = Scrubber(find)
    return scrubber.body(body), dict(scrubber.counts)


def test_equal_values_get_equal_placeholders() -> None:
    body = {"messages": [{"content": f"{ANN} {BOB}"}, {"content": f"{BOB} {ANN.upper()} {BOB}"}]}
    told, counts = scrubbed(body)
    assert [message["content"] for message in told["messages"]] == [
        "<EMAIL_1> <EMAIL_2>",
        "<EMAIL_2> <EMAIL_1> <EMAIL_2>",
    ]
    assert counts == {"email": 5}
    assert ANN in body["messages"][0]["content"], "the client's own body is not touched"


PLACES: dict[str, dict[str, Any]] = {
    "system": {"messages": [{"role": "system", "content": ANN}]},
    "text part": {"messages": [{"role": "user", "content": [{"type": "text", "text": ANN}]}]},
    "tool result": {"messages": [{"role": "tool", "tool_call_id": "c", "content": json.dumps({"m": ANN})}]},
    "call": {
        "messages": [{"tool_calls": [{"function": {"name": "f", "arguments": json.dumps({ANN: [ANN]})}}]}]
    },
    "torn call": {"messages": [{"tool_calls": [{"function": {"arguments": '{"m": "' + ANN}}]}]},
    "name": {"messages": [{"role": "user", "name": ANN, "content": "hi"}]},
    "reasoning": {"messages": [{"role": "assistant", "reasoning_content": ANN, "content": ""}]},
    "tool": {"tools": [{"function": {"description": f"mails {ANN}"}}]},
    "schema": {"response_format": {"json_schema": {"schema": {"properties": {ANN: {"enum": [ANN]}}}}}},
    "prompt": {"prompt": [ANN, "x"], "suffix": ANN},
    "input": {"input": [ANN]},
    "user": {"user": ANN, "metadata": {"from": ANN}},
    "stop": {"stop": [ANN]},
    "what comes next": {"an_unknown_parameter": {"deep": [{"down": ANN}]}},
}


@pytest.mark.parametrize("place", PLACES)
def test_no_place_is_forgotten(place: str) -> None:
    told, counts = scrubbed({"model": "m", **PLACES[place]})
    assert ANN not in json.dumps(told)
    assert counts["email"] >= 1


def test_arguments_stay_json_although_a_number_was_somebodys() -> None:
    given = json.dumps({"card": 4111111111111111, "rows": 12, "all": True, "none": None})
    told, counts = scrubbed({"messages": [{"tool_calls": [{"function": {"arguments": given}}]}]})
    arguments = json.loads(told["messages"][0]["tool_calls"][0]["function"]["arguments"])
    assert arguments == {"card": "<CARD_1>", "rows": 12, "all": True, "none": None}
    assert counts == {"card": 1}


def test_words_of_the_api_and_numbers_stay() -> None:
    body = {"model": ANN, "stream": True, "seed": 4111111111111111, "temperature": 0.5, "stop": None}
    assert scrubbed(body) == (body, {})


@pytest.mark.parametrize("text", ["a" * (MOST_CHARACTERS + 1), "1 " * (MOST_DIGITS + 1)])
def test_more_than_can_be_looked_through_is_no_success(text: str) -> None:
    with pytest.raises(TooMuchError):
        scrubbed({"prompt": [text[: len(text) // 2], text[len(text) // 2 :]]})
