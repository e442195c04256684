"""The smallest JSON value of a schema: what an engine whose answers are held to it may say."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
PLAIN: dict[str, Any] = {"string": "x", "integer": 1, "number": 1.5, "boolean": True, "null": None}


def instance_of(schema: Any, root: Any = None) -> Any:
    """A value of the schema. Raises ValueError for a reference that leads nowhere, as a grammar's compiler does."""
    root = schema if root is None else root
    if not isinstance(schema, dict):
        return {}
    if "$ref" in schema:
        return instance_of(pointed_at(root, schema["$ref"]), root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for word in ("oneOf", "anyOf", "allOf"):
        if schema.get(word):
            return instance_of(schema[word][-1], root)
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "array":
        return [instance_of(schema["items"], root)] if "items" in schema else []
    if kind == "object":
        return {name: instance_of(each, root) for name, each in schema.get("properties", {}).items()}
    return PLAIN[kind]


def pointed_at(root: Any, pointer: str) -> Any:
    target = root
    for part in pointer.removeprefix("#").split("/")[1:]:
        if not isinstance(target, dict) or part not in target:
            raise ValueError(f"unresolvable reference {pointer}")
        target = target[part]
    return target
