"""What the fields of a form mean: text that stands for the parameter of that name, by the schema of its rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec
from nexus_mesh.core import JsonObject

from nexus_gateway.validation.params import shape_of
from nexus_gateway.validation.parse import CHECKS
from nexus_gateway.validation.refusals import bad_value, invalid, shown, wrong_type

__all__ = ["shape_of_form", "value_of_field"]

BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def shape_of_form(operation: int) -> Mapping[str, JsonObject]:
    """The JSON Schemas of an operation's parameters by name; a form may write brackets behind those of lists."""
    _, rules = CHECKS[operation]
    return {name: shape_of(rule) for name, rule in rules.items()}


def value_of_field(name: str, values: Sequence[str], shape: JsonObject | None) -> object:
    """The value that all fields of one name stand for. A name without a schema stays text. Raises INVALID_REQUEST."""
    if shape is not None and shape.get("type") == "array":
        items = shape.get("items") or {}
        return [_one(value, items, shown(name)) for value in values]
    if len(values) > 1:
        raise invalid(
            "invalid_value", f"'{shown(name)}' takes one value, and {len(values)} were sent.", shown(name)
        )
    return _one(values[0], shape or {}, shown(name))


def _one(text: str, shape: JsonObject, name: str) -> object:
    kind = shape.get("type")
    if kind in READERS:
        return None if text == "" else READERS[kind](text, name)
    kinds = [each.get("type") for each in shape.get("anyOf", ())]
    if "object" in kinds and text.lstrip().startswith("{"):
        return _object(text, name)
    return text


def _boolean(text: str, name: str) -> bool:
    value = BOOLEANS.get(text.lower())
    if value is None:
        raise wrong_type(name, "a boolean", text)
    return value


def _integer(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise wrong_type(name, "an integer", text) from None


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise wrong_type(name, "a number", text) from None
    if not math.isfinite(value):
        raise bad_value(name, "be a finite number")
    return value


def _object(text: str, name: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        raise wrong_type(name, "an object", text) from None


READERS: dict[str, Callable[[str, str], object]] = {
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    "object": _object,
}
