"""What a model's catalogue says of its parameters, held against a request: what it does not take is refused by name,
and with what there is. Nothing is ever replaced by a default that was not asked for.

It reads the part of JSON Schema that catalogues write: `type`, `enum`, `oneOf` of `const`, bounds, and
`additionalProperties`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.contract import Json, JsonObject

__all__ = ["check_parameters"]

NAMED_ELSEWHERE = frozenset({"model", "user", "encoding_format"})
"""Of the envelope: the first is checked by whoever looks for the model, the second changes no answer, and vectors cross
the mesh as numbers whatever the client is to get."""
SHOWN = 4000
"""Characters of a list of what there is."""

TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "number": (int, float), "integer": (int,), "boolean": (bool,), "array": (list,),
    "object": (dict,), "null": (type(None),),
}  # fmt: skip


def check_parameters(model: model_pb2.Model, operation: int, body: JsonObject) -> None:
    """Raises INVALID_REQUEST or UNSUPPORTED_PARAMETER. A model that says nothing of an operation takes everything."""
    for told in model.parameters:
        if told.operation == operation:
            schema = _schema(told.schema)
            for name, value in body.items():
                if name not in NAMED_ELSEWHERE and value is not None:
                    _check(model.id, schema, name, value)


@lru_cache(maxsize=256)
def _schema(text: str) -> JsonObject:
    return msgspec.json.decode(text, type=JsonObject)


def _check(model: str, schema: JsonObject, name: str, value: Json) -> None:
    properties = schema.get("properties") or {}
    rule = properties.get(name)
    if rule is None:
        if schema.get("additionalProperties", True) is False:
            known = ", ".join(sorted(properties))
            raise MeshError(
                Reason.UNSUPPORTED_PARAMETER,
                f"Model {model} does not take '{name[:64]}'; it takes {known}.",
                metadata={"param": name[:64]},
            )
        return
    if (wanted := _wanted(rule, value)) is not None:
        raise MeshError(
            Reason.INVALID_REQUEST,
            f"'{name}' must be {wanted} for model {model}.",
            metadata={"param": name, "code": "invalid_value"},
        )


def _wanted(rule: JsonObject, value: Json) -> str | None:
    """What a value ought to be; None when it is that."""
    choices: list[Any] = [one["const"] for one in rule.get("oneOf", ()) if "const" in one]
    choices += rule.get("enum", ())
    if choices:
        return None if value in choices else f"one of {_listed(choices)}"
    told = rule.get("type", ())
    names = [told] if isinstance(told, str) else told
    kinds = tuple(kind for name in names for kind in TYPES.get(name, (object,)))
    if kinds and (
        not isinstance(value, kinds) or (isinstance(value, bool) and not {bool, object} & {*kinds})
    ):
        return f"of type {' or '.join(names)}"
    return next((told for is_passed, told in _bounds(rule, value) if is_passed), None)


def _bounds(rule: JsonObject, value: Json) -> list[tuple[bool, str]]:
    if isinstance(value, int | float):
        low, high = rule.get("minimum", value), rule.get("maximum", value)
        if "minimum" in rule and "maximum" in rule:
            return [(not low <= value <= high, f"between {low} and {high}")]
        return [(value < low, f"at least {low}"), (value > high, f"at most {high}")]
    if isinstance(value, str):
        most = rule.get("maxLength", len(value))
        return [(len(value) > most, f"at most {most} characters")]
    return []


def _listed(choices: list[Any]) -> str:
    text = ", ".join(map(str, choices))
    return text if len(text) <= SHOWN else text[:SHOWN].rpartition(", ")[0] + ", ..."
