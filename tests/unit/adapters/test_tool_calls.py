"""Pieces of tool calls."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from nexus_inference_adapters.openai.tool_calls import ToolCallPieces, whole_calls
from nexus_inference_adapters.openai.types import Function, ToolCall
from nexus_mesh.core.errors import MeshError


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


def arguments_of(pieces: list[ToolCall]) -> dict[int, str]:
    said: dict[int, str] = {}
    for piece in plain(pieces):
        function: Any = piece["function"]
        said[int(str(piece["index"]))] = said.get(int(str(piece["index"])), "") + function.get(
            "arguments", ""
        )
    return said


def test_pieces_with_fresh_ids_are_one_call() -> None:
    """C1: the index holds them together, and the first id is kept."""
    pieces = [
        ToolCall(0, f"c{at}", "function", Function("f", part)) for at, part in enumerate(('{"a"', ":1", "}"))
    ]
    taken = ToolCallPieces().take(pieces)
    assert [piece.get("id") for piece in plain(taken)] == ["c0", None, None]
    assert arguments_of(taken) == {0: '{"a":1}'}


@pytest.mark.parametrize(
    "indexes", [(1, 2), (7, 3), (0, 5), ("x", "y"), (None, None), (True, False), (-4, 2.5)]
)
def test_indexes_are_counted_in_order_of_appearance(indexes: tuple[Any, Any]) -> None:
    """C2: the first call may have any index."""
    pieces = [ToolCall(index, f"c{index}{at}", "function", Function(name, "{")) for at, (index, name) in
              enumerate(zip(indexes, "fg", strict=True))]  # fmt: skip
    more = [ToolCall(index, piece.id, function=Function(arguments="}")) for index, piece in
            zip(indexes, pieces, strict=True)]  # fmt: skip
    taken = ToolCallPieces().take(pieces + more)
    assert [piece.index for piece in taken] == [0, 1, 0, 1]
    assert arguments_of(taken) == {0: "{}", 1: "{}"}


def test_two_calls_under_one_index_are_two() -> None:
    """C2: by their names, or because the first was whole before the second began."""
    others = [ToolCall(0, "a", function=Function("f")), ToolCall(0, "b", function=Function("g"))]
    assert [piece.index for piece in ToolCallPieces().take(others)] == [0, 1]
    twins = [ToolCall(0, each, function=Function("f", f'{{"x": "{each}"}}')) for each in "ab"]
    assert arguments_of(ToolCallPieces().take(twins)) == {0: '{"x": "a"}', 1: '{"x": "b"}'}


def test_a_call_without_a_name_is_malformed() -> None:
    with pytest.raises(MeshError):
        whole_calls([ToolCall(id="a", function=Function(arguments="{}"))])


def test_whole_calls_are_complete() -> None:
    [call] = plain(whole_calls([ToolCall(index=4, function=Function("f", {"a": "ü"}))]))
    assert call["type"] == "function"
    assert "index" not in call
    assert call["function"] == {"name": "f", "arguments": '{"a":"ü"}'}
