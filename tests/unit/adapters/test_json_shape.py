"""The shape of JSON values, as every engine's grammar holds it."""

from __future__ import annotations

from typing import Any

import pytest
from nexus_inference_adapters.openai.forced_tools import Forced
from nexus_inference_adapters.openai.json_shape import fits
from support.schema_instance import instance_of

TREE = {"type": "object", "required": ["value", "next"], "properties": {
    "value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "schema", "kept"),
    [
        ({}, {"type": "object"}, True), ([], {"type": "object"}, False), (1.0, {"type": "integer"}, True),
        (True, {"type": "integer"}, False), (True, {"type": "number"}, False),
        (None, {"type": ["string", "null"]}, True),
        ("b", {"enum": ["a", "b"]}, True), ("c", {"enum": ["a", "b"]}, False), (True, {"const": 1}, False),
        (1.0, {"const": 1}, True), ([1, "a"], {"items": {"type": "integer"}}, False),
        ([1, "a"], {"prefixItems": [{"type": "integer"}], "items": {"type": "string"}}, True),
        ({"a": 1}, {"properties": {"a": {"type": "string"}}}, False), ({"b": 1}, {"required": ["a"]}, False),
        ({"b": 1}, {"properties": {}, "additionalProperties": False}, False),
        ({"b": 1}, {"additionalProperties": {"type": "integer"}}, True),
        ({"value": 1, "next": {"value": 2, "next": None}}, TREE, True),
        ({"value": 1, "next": {"value": "2", "next": None}}, TREE, False),
        ("x", {"oneOf": [{"type": "integer"}, {"type": "string"}]}, True), (1, False, False), (1, True, True),
        ("long", {"type": "string", "maxLength": 1, "pattern": "^a", "format": "date"}, True),
        (1, {"$ref": "https://elsewhere.example/schema"}, True), (1, {"$ref": "#/$defs/none"}, True),
        (1, {"type": "something"}, True), (1, None, True), (1, {"type": 5, "enum": 5, "required": "a"}, True),
    ],
)  # fmt: skip
def test_shapes(value: Any, schema: Any, kept: bool) -> None:
    """E23: structure is held to; bounds and patterns, which some grammars pass over, are not."""
    assert fits(value, schema) is kept


@pytest.mark.security
def test_a_schema_without_end_costs_little() -> None:
    """E23: alternatives that double at each step, and one that is its own, end."""
    assert fits(1, {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]})
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    assert fits(deep, {"anyOf": [{"items": {"$ref": "#"}, "type": "array"}] * 2 + [{"type": "string"}]})


def test_references_hold_where_a_schema_is_moved_to() -> None:
    """D15: a choice among tools holds every tool's own references."""
    tools = [{"type": "function", "function": {"name": name, "parameters": {
        **TREE, "properties": {**TREE["properties"], "x": {"$ref": "#/$defs/X"}}, "$defs": {"X": {"const": name}}}}}
        for name in "ab"]  # fmt: skip
    schema = Forced({"tools": tools, "tool_choice": "required"}).schema()
    value = {"value": 1, "next": {"value": 2, "next": None}}
    assert fits({"name": "a", "arguments": {**value, "x": "a"}}, schema)
    assert not fits({"name": "a", "arguments": {**value, "x": "b"}}, schema)
    assert not fits({"name": "c", "arguments": value}, schema)
    assert fits(instance_of(schema["oneOf"][0]["properties"]["name"]), {"const": "a"})
