"""JSON Schemas met: what both of two take, said in one that a form can be drawn of. And whether a value is of a schema.

Of the language this knows what rules and catalogues are written in; any other word of a schema is kept beside the rest,
in an `allOf` where both have one. Numbers are compared as numbers, so 1 is 1.0 as JSON has it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from nexus_mesh.core import JsonObject

__all__ = ["is_of", "met"]

TYPES: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: type(value) is int or (type(value) is float and value.is_integer()),
    "number": lambda value: type(value) in (int, float),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}
LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
ANNOTATIONS = frozenset({"title", "description", "default", "examples", "unit", "deprecated", "format"})
"""Words that constrain nothing: those of the second schema count, whose backend knows better."""


def met(one: JsonObject, other: JsonObject) -> JsonObject | None:
    """What both take; None where that is nothing. Notes for people are the `other`'s where it has any."""
    notes = {**_notes(one), **_notes(other)}
    one, other = _bare(one), _bare(other)
    found = _met(one, other)
    if found is None:
        return None
    if "default" in notes and not is_of(notes["default"], found):
        del notes["default"]
    return {**found, **notes}


def _met(one: JsonObject, other: JsonObject) -> JsonObject | None:
    if (first := _choices(one)) is not None or _choices(other) is not None:
        mine, rest = (one, other) if first is not None else (other, one)
        named = {_key(each["const"]): each for each in _choices(rest) or ()}
        kept = [
            {**each, **named.get(_key(each["const"]), {})}
            for each in _choices(mine) or ()
            if is_of(each["const"], mine) and is_of(each["const"], rest)
        ]
        return _chosen(kept) if kept else None
    found: JsonObject = {}
    if "type" in one or "type" in other:
        kinds = _kinds(one, other)
        if not kinds:
            return None
        found["type"] = kinds[0] if len(kinds) == 1 else kinds
    for words, pick in ((LEAST, max), (MOST, min)):
        for word in words:
            bounds = [each[word] for each in (one, other) if word in each]
            if bounds:
                found[word] = pick(bounds)
    if any(
        found.get(low, -math.inf) > found.get(high, math.inf) for low, high in zip(LEAST, MOST, strict=True)
    ):
        return None
    settled = {"type", *LEAST, *MOST}
    both = []
    for word in sorted((one.keys() | other.keys()) - settled):
        given = [each[word] for each in (one, other) if word in each]
        if len(given) == 2 and given[0] != given[1]:
            both.append({word: given[0]})
            both.append({word: given[1]})
        else:
            found[word] = given[0]
    if both:
        found["allOf"] = [*found.get("allOf", ()), *both]
    return found


def is_of(value: object, schema: JsonObject | bool) -> bool:
    """Whether a value is of a schema, as far as its words are known here."""
    if isinstance(schema, bool):
        return schema
    if "type" in schema and not any(TYPES[kind](value) for kind in _listed(schema["type"])):
        return False
    if "const" in schema and _key(schema["const"]) != _key(value):
        return False
    if "enum" in schema and _key(value) not in map(_key, schema["enum"]):
        return False
    if not all(is_of(value, each) for each in schema.get("allOf", ())):
        return False
    if not all(
        any(is_of(value, each) for each in schema[word]) for word in ("anyOf", "oneOf") if word in schema
    ):
        return False
    if "not" in schema and is_of(value, schema["not"]):
        return False
    return _is_within(value, schema)


def _is_within(value: Any, schema: JsonObject) -> bool:
    if type(value) in (int, float):
        return (
            schema.get("minimum", value) <= value <= schema.get("maximum", value)
            and not value <= schema.get("exclusiveMinimum", -math.inf)
            and not value >= schema.get("exclusiveMaximum", math.inf)
        )
    if isinstance(value, str):
        size = len(value)
        return schema.get("minLength", 0) <= size <= schema.get("maxLength", size) and _fits(value, schema)
    if isinstance(value, list):
        size = len(value)
        return schema.get("minItems", 0) <= size <= schema.get("maxItems", size) and all(
            is_of(each, schema.get("items", True)) for each in value
        )
    if isinstance(value, dict):
        return all(name in value for name in schema.get("required", ())) and all(
            is_of(value[name], each) for name, each in schema.get("properties", {}).items() if name in value
        )
    return True


def _fits(value: str, schema: JsonObject) -> bool:
    try:
        return re.search(schema.get("pattern", ""), value) is not None
    except re.error:
        return True  # written for another kind of expressions: its backend judges


def _notes(schema: JsonObject) -> JsonObject:
    return {word: value for word, value in schema.items() if word in ANNOTATIONS}


def _bare(schema: JsonObject) -> JsonObject:
    return {word: value for word, value in schema.items() if word not in ANNOTATIONS}


def _choices(schema: JsonObject) -> list[JsonObject] | None:
    """What there is to choose from, each with its name for people; None where it is not a choice."""
    if "const" in schema:
        return [{"const": schema["const"]}]
    if "enum" in schema:
        return [{"const": value} for value in schema["enum"]]
    found = schema.get("oneOf", ())
    return list(found) if found and all("const" in each for each in found) else None


def _chosen(choices: list[JsonObject]) -> JsonObject:
    """The choices as an `enum`, or where they have names as a `oneOf`; with the type that all of them are of."""
    values = [each["const"] for each in choices]
    kinds = [kind for kind in TYPES if all(TYPES[kind](value) for value in values)]
    kind = {"type": kinds[0]} if kinds else {}
    if any(len(each) > 1 for each in choices):
        return {**kind, "oneOf": choices}
    return {**kind, "enum": values}


def _kinds(one: JsonObject, other: JsonObject) -> list[str]:
    first, second = _listed(one.get("type", [*TYPES])), _listed(other.get("type", [*TYPES]))
    shared = [kind for kind in first if kind in second]
    for mine, theirs in ((first, second), (second, first)):
        if "integer" in mine and "number" in theirs and "integer" not in shared:
            shared.append("integer")
    return [kind for kind in shared if kind != "integer" or "number" not in shared]


def _listed(kinds: str | list[str]) -> list[str]:
    return [kinds] if isinstance(kinds, str) else kinds


def _key(value: Any) -> tuple[str, Any]:
    """Equal for equal JSON: true is not 1, and lists and objects count by what they say."""
    kind = "number" if type(value) in (int, float) else type(value).__name__
    return kind, repr(value) if isinstance(value, list | dict) else value
