"""Tool calls in their normal form: an index, one id, one name, arguments as JSON text."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from msgspec import UNSET

from nexus_inference_adapters.openai_types import Function, ToolCall
from nexus_inference_adapters.upstream_errors import malformed

__all__ = ["ToolCallPieces", "arguments_text", "new_call_id", "whole_calls"]


def new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


def arguments_text(said: Any) -> str:
    """OpenAI's arguments are JSON text; some backends send the object itself."""
    return msgspec.json.encode(said).decode() if isinstance(said, dict) else said or ""


class ToolCallPieces:
    """The calls of one streamed choice, put together from pieces."""

    __slots__ = ("_ids", "_named")

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._named: list[bool] = []

    def __bool__(self) -> bool:
        return bool(self._ids)

    def take(self, pieces: list[ToolCall]) -> list[ToolCall]:
        """The pieces with an index each, and with id, type and name only where a call begins."""
        for piece in pieces:
            index = self._place(piece)
            if index == len(self._ids):
                self._begin(piece)
            else:
                self._continue(piece, index)
            piece.index = index
            self._normalise(piece, index)
        return pieces

    def check(self) -> None:
        """Raises UPSTREAM_MALFORMED when a call never got its name."""
        if not all(self._named):
            raise malformed("The backend called a tool without naming it.")

    def _place(self, piece: ToolCall) -> int:
        if isinstance(piece.index, int):
            if piece.index > len(self._ids):
                raise malformed("The backend left out a tool call: their indexes have a gap.")
            return piece.index
        if piece.id in self._ids:
            return self._ids.index(str(piece.id))
        begins = bool(piece.id or (piece.function and piece.function.name)) or not self._ids
        return len(self._ids) if begins else len(self._ids) - 1

    def _begin(self, piece: ToolCall) -> None:
        piece.id = piece.id or new_call_id()
        piece.type = piece.type or "function"
        self._ids.append(piece.id)
        self._named.append(False)

    def _continue(self, piece: ToolCall, index: int) -> None:
        if piece.id and piece.id != self._ids[index]:
            raise malformed("The backend gave two tool calls the same index.")
        piece.id = piece.type = UNSET

    def _normalise(self, piece: ToolCall, index: int) -> None:
        if piece.custom:
            self._named[index] = True
            piece.function = UNSET
            return
        piece.custom = UNSET
        function = piece.function = piece.function or Function()
        if function.arguments is None:
            function.arguments = UNSET
        elif isinstance(function.arguments, dict):
            function.arguments = arguments_text(function.arguments)
        if self._named[index] or not function.name:
            function.name = UNSET
        else:
            self._named[index] = True


def whole_calls(calls: list[ToolCall]) -> list[ToolCall]:
    """The calls of a whole message in their normal form."""
    pieces = ToolCallPieces()
    for place, call in enumerate(calls):
        call.index = place
    taken = pieces.take(calls)
    pieces.check()
    for call in taken:
        call.index = UNSET
        if call.function:
            call.function.arguments = call.function.arguments or "{}"
    return taken
