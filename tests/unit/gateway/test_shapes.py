"""What /openapi.json says of a parameter and what the gateway takes are the same."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from nexus_gateway.validation import CHECKS, body_shape, engine_shape
from nexus_gateway.validation.engine import ENGINE
from nexus_gateway.validation.params import _SHAPES, Rule, integer, shape_of
from nexus_mesh.core import MeshError
from nexus_operations import SPECS

TOLD_BY_SCHEMA = {
    f"{SPECS[number].name}.{name}": (rule, body_shape(number)["properties"][name])
    for number, (_, rules) in CHECKS.items()
    for name, rule in rules.items()
} | {f"engine.{name}": (rule, engine_shape()["properties"][name]) for name, rule in ENGINE.items()}
VALUES: list[Any] = [
    True, False, 0, 1, -1, 2, 0.5, 1e9, 2**40, "", "x", "auto", "text", "float", "json", "x" * 600, [],
    ["x"], [1], [[1]], ["text"], [None], {},
    {"a": "b"}, {"a": 1}, {"a": [1]}, {"type": "function"}, {"type": "text"}, {"name": "f"},
    {"type": "json_schema", "json_schema": {"name": "s"}}, [{"type": "function", "function": {"name": "f"}}],
    [{"name": "f"}], {"include_usage": True}, {"include_usage": None}, {"type": "function", "function": {"name": "f"}},
]  # fmt: skip
FREE = {"engine.samplers", "engine.sampler_order", "engine.sampler_priority", "engine.options"}
"""By name, by number, or key by key: no schema is told of them."""


def takes(rule: Rule, value: Any) -> bool:
    try:
        rule(value, "p")
    except MeshError:
        return False
    return True


@pytest.mark.parametrize("name", TOLD_BY_SCHEMA)
def test_a_schema_refuses_nothing_that_is_taken(name: str) -> None:
    rule, schema = TOLD_BY_SCHEMA[name]
    validator = Draft202012Validator(schema)
    for value in VALUES:
        if takes(rule, value) and not name.endswith((".messages", ".prompt", ".input", ".document")):
            assert validator.is_valid(value), value


@pytest.mark.parametrize("name", TOLD_BY_SCHEMA)
def test_a_schema_says_something(name: str) -> None:
    schema = TOLD_BY_SCHEMA[name][1]
    assert bool(schema) is (name not in FREE)
    if name not in FREE:
        assert not all(map(Draft202012Validator(schema).is_valid, VALUES))


@pytest.mark.parametrize("number", CHECKS)
def test_the_example_of_an_operation_holds_and_one_without_its_prompt_does_not(number: int) -> None:
    spec, validator = SPECS[number], Draft202012Validator(body_shape(number))
    files = {name: "bytes" if times.most == 1 else ["bytes"] for name, times in spec.files.items()}
    assert validator.is_valid({"model": "m", **files, **spec.example("Hello")})
    assert not validator.is_valid({"model": "m"})
    assert not validator.is_valid({"model": "m", **files, spec.content: 5})


def test_a_rule_that_was_made_for_one_request_is_forgotten_with_it() -> None:
    rule = integer(1, 2)
    assert shape_of(rule) == {"type": "integer", "minimum": 1, "maximum": 2}
    known = len(_SHAPES)
    del rule
    gc.collect()
    assert len(_SHAPES) == known - 1
