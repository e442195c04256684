"""Input that is a text, several texts, token ids, or several lists of token ids."""

from __future__ import annotations

from typing import Any

from nexus_gateway.validation.refusals import bad_value, wrong_type

MAX_IDS = 300_000
"""Over all inputs, as OpenAI has it."""

_EXPECTED = "a string, an array of strings, or arrays of token ids"


def check_texts_or_tokens(value: Any, path: str, most: int) -> tuple[int, bool]:
    """How many inputs `value` holds, and whether they are token ids. MeshError INVALID_REQUEST."""
    if type(value) is str:
        return 1, False
    if type(value) is not list:
        raise wrong_type(path, _EXPECTED, value)
    if not value:
        raise bad_value(path, "not be empty")
    kind = type(value[0])
    if kind is int:
        _check_ids(value, path)
        _check_sum(len(value), path)
        return 1, True
    if kind not in (str, list):
        raise wrong_type(f"{path}[0]", _EXPECTED, value[0])
    if len(value) > most:
        raise bad_value(path, f"have at most {most} entries")
    for index, item in enumerate(value):
        if type(item) is not kind:
            raise wrong_type(f"{path}[{index}]", "of the same type as the first entry", item)
        if type(item) is list:
            _check_ids(item, f"{path}[{index}]")
    if kind is list:
        _check_sum(sum(map(len, value)), path)
    return len(value), kind is list


def _check_ids(ids: list[Any], path: str) -> None:
    if not ids:
        raise bad_value(path, "not be empty")
    if set(map(type, ids)) == {int} and min(ids) >= 0 and max(ids) < 2**31:
        return
    for index, item in enumerate(ids):
        if type(item) is not int:
            raise wrong_type(f"{path}[{index}]", "a token id", item)
        if not 0 <= item < 2**31:
            raise bad_value(f"{path}[{index}]", "be a token id")


def _check_sum(ids: int, path: str) -> None:
    if ids > MAX_IDS:
        raise bad_value(path, f"have at most {MAX_IDS} token ids in all")
