"""Tool calls in their normal form: an index, one id, one name, arguments as JSON text.

Indexes and ids are bookkeeping, and engines keep those books in many ways: by them a call is found again, none is lost
for them.
"""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from msgspec import UNSET

from nexus_inference_adapters.contract import malformed
from nexus_inference_adapters.openai.types import Function, ToolCall

__all__ = ["ToolCallPieces", "arguments_text", "new_call_id", "whole_calls"]


def new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


def arguments_text(said: Any) -> str:
    """OpenAI's arguments are JSON text; some backends send the object itself."""
    return msgspec.json.encode(said).decode() if isinstance(said, dict) else said or ""


class ToolCallPieces:
    """The calls of one streamed choice, put together from pieces."""

    __slots__ = ("_arguments", "_by_id", "_by_index", "_names")

    def __init__(self) -> None:
        self._by_id: dict[str, int] = {}
        self._by_index: dict[int, int] = {}
        self._names: list[str | None] = []
        self._arguments: list[list[str]] = []

    def __bool__(self) -> bool:
        return bool(self._names)

    def take(self, pieces: list[ToolCall]) -> list[ToolCall]:
        """The pieces with an index each, and with id, type and name only where a call begins."""
        for piece in pieces:
            name = _name(piece)
            place = self._place(piece, name)
            if place is None:
                place = self._begin(piece)
            else:
                piece.id = piece.type = UNSET
            self._remember(piece, place)
            piece.index = place
            self._normalise(piece, place, name)
        return pieces

    def check(self) -> None:
        """Raises UPSTREAM_MALFORMED when a call never got its name."""
        if None in self._names:
            raise malformed("The backend called a tool without naming it.")

    def _place(self, piece: ToolCall, name: str | None) -> int | None:
        """The call that a piece goes on with, counted in order of appearance; None when it begins another."""
        call_id = piece.id if isinstance(piece.id, str) and piece.id else None
        if call_id in self._by_id:
            return self._by_id[call_id]
        if type(piece.index) is int:
            known = self._by_index.get(piece.index)
            return (
                None
                if known is None or (call_id and name and self._is_another(known, piece, name))
                else known
            )
        if name or piece.custom or not self._names:
            return None  # what names nothing goes on with the last
        return len(self._names) - 1

    def _is_another(self, place: int, piece: ToolCall, name: str) -> bool:
        """Whether a named piece with a fresh id begins a call: it names another tool, or the one before is whole."""
        if self._names[place] not in (None, name):
            return True
        return bool(piece.function and piece.function.arguments) and _is_object(
            "".join(self._arguments[place])
        )

    def _begin(self, piece: ToolCall) -> int:
        self._names.append(None)
        self._arguments.append([])
        place = len(self._names) - 1
        if isinstance(piece.id, str) and piece.id:
            self._by_id[piece.id] = place
        else:
            piece.id = new_call_id()
        if not isinstance(piece.type, str) or not piece.type:
            piece.type = "function"
        return place

    def _remember(self, piece: ToolCall, place: int) -> None:
        if type(piece.index) is int:
            self._by_index[piece.index] = place

    def _normalise(self, piece: ToolCall, place: int, name: str | None) -> None:
        if piece.custom:
            self._names[place] = self._names[place] or str(piece.custom.get("name"))
            piece.function = UNSET
            return
        piece.custom = UNSET
        function = piece.function = piece.function or Function()
        if function.arguments is None:
            function.arguments = UNSET
        elif isinstance(function.arguments, dict):
            function.arguments = arguments_text(function.arguments)
        if function.arguments:
            self._arguments[place].append(function.arguments)
        if self._names[place] is not None or not name:
            function.name = UNSET
        else:
            self._names[place] = name


def whole_calls(calls: list[ToolCall]) -> list[ToolCall]:
    """The calls of a whole message in their normal form. Each is one, whatever its index and id."""
    seen: set[Any] = set()
    for call in calls:
        pieces = ToolCallPieces()
        if not isinstance(call.id, str) or call.id in seen:
            call.id = UNSET
        pieces.take([call])
        pieces.check()
        seen.add(call.id)
        call.index = UNSET
        if call.function:
            call.function.arguments = call.function.arguments or "{}"
    return calls


def _name(piece: ToolCall) -> str | None:
    return piece.function.name or None if piece.function else None


def _is_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (ValueError, RecursionError):
        return False
