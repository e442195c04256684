"""Pieces of tool calls."""

from __future__ import annotations

import msgspec
import pytest
from nexus_inference_adapters.openai_types import Function, ToolCall
from nexus_inference_adapters.tool_calls import ToolCallPieces, whole_calls
from nexus_mesh.errors import MeshError


def plain(pieces: list[ToolCall]) -> list[dict[str, object]]:
    return msgspec.json.decode(msgspec.json.encode(pieces))


def test_repeated_names_and_ids_are_said_once() -> None:
    calls = ToolCallPieces()
    first = calls.take([ToolCall(0, "c1", "function", Function("f", ""))])
    again = calls.take([ToolCall(0, "c1", "function", Function("f", '{"a"'))])
    assert plain(first) == [
        {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    ]
    assert plain(again) == [{"index": 0, "function": {"arguments": '{"a"'}}]


def test_pieces_without_index_follow_the_last_call() -> None:
    calls = ToolCallPieces()
    taken = calls.take(
        [
            ToolCall(id="a", function=Function("f")),
            ToolCall(function=Function(arguments="{}")),
            ToolCall(id="b", function=Function("g")),
            ToolCall(id="a", function=Function(arguments=" ")),
        ]
    )
    assert [piece.index for piece in taken] == [0, 0, 1, 0]
    calls.check()


@pytest.mark.parametrize(
    "pieces",
    [
        [ToolCall(1, "a", function=Function("f"))],
        [ToolCall(0, "a", function=Function("f")), ToolCall(2, "b", function=Function("g"))],
        [ToolCall(0, "a", function=Function("f")), ToolCall(0, "b", function=Function("g"))],
    ],
)
def test_gaps_and_collisions_are_malformed(pieces: list[ToolCall]) -> None:
    with pytest.raises(MeshError):
        ToolCallPieces().take(pieces)


def test_a_call_without_a_name_is_malformed() -> None:
    with pytest.raises(MeshError):
        whole_calls([ToolCall(id="a", function=Function(arguments="{}"))])


def test_whole_calls_are_complete() -> None:
    [call] = plain(whole_calls([ToolCall(index=4, function=Function("f", {"a": "ü"}))]))
    assert call["type"] == "function"
    assert "index" not in call
    assert call["function"] == {"name": "f", "arguments": '{"a":"ü"}'}
