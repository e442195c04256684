"""Fills in forms: requests of a JSON Schema, by nothing but the schema. It knows no backend, operation or parameter.

hypothesis-jsonschema would do most of it, but has had no release since February 2024, and knows neither `examples` nor
files. Of the language this knows what is written in schemas here; a word it does not know fails the test.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

__all__ = ["File", "broken", "empty", "filled", "values"]

Schema = Mapping[str, Any]
LARGEST, LONGEST, MOST = 2**63, 40, 4
FEW = 3
"""How far above the least a number goes, and how long a text gets, where a request is to be cheap."""
KNOWN = {
    "$schema", "type", "enum", "const", "oneOf", "anyOf", "allOf", "not", "if", "then", "minimum", "maximum",
    "minLength", "maxLength", "pattern", "minItems", "maxItems", "items", "properties", "required", "title",
    "additionalProperties", "propertyNames", "maxProperties", "description", "default", "examples", "unit", "format",
    "languages", "contentMediaType",
}  # fmt: skip
LETTERS = st.characters(codec="utf-8", exclude_characters="\0")


@dataclass(frozen=True)
class File:
    """Stands for the bytes of a file; `kind`: what its media type begins with, "" where the schema says none."""

    kind: str


class _Form:
    """A schema of a request, at whose sight a failing test does not print all of it."""

    def __init__(self, schema: Schema, *, cheap: bool) -> None:
        self.properties: Schema = schema["properties"]
        self.required: list[str] = schema["required"]
        self.rules: list[Schema] = schema.get("allOf", [])
        self.cheap = cheap

    def of(self, name: str, more: Schema | None = None) -> st.SearchStrategy[Any]:
        told = self.properties[name]
        if told.get("format") == "binary":
            return st.just(File(str(told.get("contentMediaType", "")).partition("/")[0]))
        if more is None:
            return values(told, cheap=self.cheap)
        return values({**told, **more}, cheap=self.cheap).filter(lambda value: _is_of(value, told))


def filled(schema: Schema, *, cheap: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    """Requests of the schema: what is required, and some of the rest. `cheap`: small numbers and short texts, where
    bounds allow it."""
    return _filled(_Form(schema, cheap=cheap))


def empty(schema: Schema, *, cheap: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    """Those with what is required, and nothing else."""
    return _empty(_Form(schema, cheap=cheap))


@st.composite
def _empty(draw: st.DrawFn, form: _Form) -> dict[str, Any]:
    return {name: draw(form.of(name)) for name in form.required}


@st.composite
def _filled(draw: st.DrawFn, form: _Form) -> dict[str, Any]:
    body = draw(_empty(form))
    for name in draw(st.lists(st.sampled_from(sorted(form.properties)), unique=True)):
        if name not in body:
            body[name] = draw(form.of(name))
    for rule in [*form.rules, *form.rules]:
        if _is_of(body, rule["if"]):
            wanted = rule["then"]
            for name, more in wanted["properties"].items():
                if name in body or name in wanted.get("required", ()):
                    body[name] = draw(form.of(name, more))
    assume(all(_is_of(body, rule) for rule in form.rules))
    return body


def values(schema: Schema | bool, *, cheap: bool = False) -> st.SearchStrategy[Any]:
    """Values of a schema."""
    return _values(json.dumps(schema), cheap)


@lru_cache(maxsize=4096)
def _values(text: str, cheap: bool) -> st.SearchStrategy[Any]:
    """To make a strategy costs more than to draw of it."""
    schema = json.loads(text)
    if isinstance(schema, bool) or not schema:
        return st.booleans() | st.integers(-1, 1) | st.text(LETTERS, max_size=3)
    assert schema.keys() <= KNOWN, schema.keys() - KNOWN
    return _raw(schema, cheap).filter(_validator(text).is_valid)


@lru_cache(maxsize=4096)
def _validator(text: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(text))


def _is_of(value: Any, schema: Schema) -> bool:
    return _validator(json.dumps(schema)).is_valid(value)


def _raw(schema: Schema, cheap: bool) -> st.SearchStrategy[Any]:
    """Of the words that make values; those that only refuse some are for whoever filters."""
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "examples" in schema:
        return st.sampled_from(schema["examples"])
    for word in ("oneOf", "anyOf"):
        if word in schema:
            rest = {key: value for key, value in schema.items() if key != word}
            return st.one_of([values(_and(rest, branch), cheap=cheap) for branch in schema[word]])
    kinds = schema.get("type", "object" if "properties" in schema else ["string", "integer", "boolean"])
    return st.one_of([MAKERS[kind](schema, cheap) for kind in ([kinds] if isinstance(kinds, str) else kinds)])


def _and(one: Schema, other: Schema) -> dict[str, Any]:
    both = {**one, **other}
    if "properties" in one and "properties" in other:
        both["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        both["required"] = [*one["required"], *other["required"]]
    return both


def _integers(schema: Schema, cheap: bool) -> st.SearchStrategy[int]:
    low, high = _bounds(schema, cheap)
    return st.integers(math.ceil(low), math.floor(high)) if math.ceil(low) <= high else st.nothing()


def _numbers(schema: Schema, cheap: bool) -> st.SearchStrategy[float]:
    return st.floats(*_bounds(schema, cheap), allow_nan=False) | _integers(schema, cheap)


def _bounds(schema: Schema, cheap: bool) -> tuple[float, float]:
    low, high = schema.get("minimum", -LARGEST), schema.get("maximum", LARGEST)
    return low, min(high, low + FEW) if cheap else high


def _texts(schema: Schema, cheap: bool) -> st.SearchStrategy[str]:
    low = schema.get("minLength", 0)
    high = min(schema.get("maxLength", LONGEST), low + 4 * FEW if cheap else max(low, LONGEST))
    plain = st.text(LETTERS, min_size=low, max_size=high)
    if "pattern" not in schema:
        return plain
    # Python's $ stands before a last line end too, and that of JSON Schema does not.
    matching = st.from_regex(schema["pattern"], alphabet=LETTERS).filter(lambda text: text[-1:] != "\n")
    return matching if schema["pattern"].startswith("^") and not cheap else matching | plain


def _lists(schema: Schema, cheap: bool) -> st.SearchStrategy[list[Any]]:
    low = schema.get("minItems", 0)
    high = min(schema.get("maxItems", low + MOST), low + (1 if cheap else MOST))
    return st.lists(values(schema.get("items", True), cheap=cheap), min_size=low, max_size=high)


def _objects(schema: Schema, cheap: bool) -> st.SearchStrategy[dict[str, Any]]:
    properties, required = schema.get("properties", {}), set(schema.get("required", ()))
    fixed = st.fixed_dictionaries(
        {name: values(each, cheap=cheap) for name, each in properties.items() if name in required},
        optional={
            name: values(each, cheap=cheap) for name, each in properties.items() if name not in required
        },
    )
    if "additionalProperties" not in schema or schema["additionalProperties"] is False:
        return fixed
    names = values({"type": "string", **schema.get("propertyNames", {})}, cheap=cheap)
    more = st.dictionaries(names, values(schema["additionalProperties"], cheap=cheap), max_size=2)
    return st.builds(lambda one, other: {**other, **one}, fixed, more)


MAKERS = {
    "string": _texts,
    "integer": _integers,
    "number": _numbers,
    "array": _lists,
    "object": _objects,
    "boolean": lambda _, __: st.booleans(),
    "null": lambda _, __: st.none(),
}


def broken(schema: Schema, name: str) -> dict[str, Any]:
    """The schema with one parameter said to take more than it does, or to be there while it is not."""
    wider = {
        word: value for word, value in schema["properties"].get(name, {}).items() if word == "description"
    }
    return {
        **schema,
        "properties": {**schema["properties"], name: {**wider, "type": "string", "const": "no such"}},
    }
