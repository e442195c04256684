"""The JSON Schema of each endpoint's body, made of the rules it is checked by."""

from __future__ import annotations

from nexus_mesh.core import JsonObject
from nexus_operations import Operation, Times, spec_of

from nexus_gateway.validation.body_rules import body_rules_of
from nexus_gateway.validation.engine import ENGINE
from nexus_gateway.validation.params import Rule, shape_of
from nexus_gateway.validation.parse import CHECKS

__all__ = ["body_shape", "engine_shape"]


HINTED = frozenset({Operation.TRANSCRIPTION, Operation.TRANSLATION, Operation.IMAGE_VARIATION})
"""Kinds of work that may do without their prompt: they have a file."""


def body_shape(operation: int) -> JsonObject:
    """Of the parameters of one operation. Others may stand beside them: engine_shape() has those that are known."""
    check, rules = CHECKS[operation]
    spec = spec_of(operation)
    files = {name: _file(times) for name, times in sorted(spec.files.items())}
    named = [] if operation in HINTED else [spec.content]
    required = (
        "model",
        *(name for name in files if spec.files[name].least),
        *named,
        *body_rules_of(check).required,
    )
    return {
        "title": f"{spec.name.title().replace('_', '')}Request",
        "type": "object",
        "required": list(required),
        "properties": {
            **files,
            **{name: shape_of(rule) if name in required else _or_null(rule) for name, rule in rules.items()},
        },
    }


def _file(times: Times) -> JsonObject:
    one: JsonObject = {"type": "string", "format": "binary"}
    if times.most == 1:
        return one
    return {"type": "array", "items": one, "minItems": times.least, "maxItems": times.most}


def engine_shape() -> JsonObject:
    """Of the parameters of engines beyond OpenAI's, which may stand in any body."""
    return {"type": "object", "properties": {name: _or_null(rule) for name, rule in ENGINE.items()}}


def _or_null(rule: Rule) -> JsonObject:
    """Null means the default."""
    shape = shape_of(rule)
    if not shape:
        return {}
    kinds = shape.get("type")
    if kinds is None or "enum" in shape:
        return {"anyOf": [shape, {"type": "null"}]}
    return {**shape, "type": [*([kinds] if isinstance(kinds, str) else kinds), "null"]}
