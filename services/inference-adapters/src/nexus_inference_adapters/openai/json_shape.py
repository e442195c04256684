"""Whether a JSON value has the shape a schema asks for.

Only what every engine's grammar holds is looked at: types, properties, items, enumerations, alternatives. Bounds,
patterns and formats are passed over by some grammars, so an answer is not thrown away for them. Nothing is fetched, and
a schema that would cost too much to follow counts as kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["fits"]

MOST_STEPS = 50_000

TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool)
        and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
}


class _TooMuch(Exception):
    """The schema asks for more steps than a check is worth."""


def fits(value: Any, schema: Any) -> bool:
    """Whether `value` has the shape of `schema`."""
    try:
        return _Check(schema).fits(value, schema)
    except (_TooMuch, RecursionError):
        return True


class _Check:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._steps = 0

    def fits(self, value: Any, schema: Any) -> bool:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise _TooMuch
        if not isinstance(schema, dict):
            return schema is not False
        return (
            self._is_of_type(value, schema.get("type"))
            and ("const" not in schema or _same(value, schema["const"]))
            and (
                not isinstance(schema.get("enum"), list) or any(_same(value, each) for each in schema["enum"])
            )
            and self._referred(value, schema.get("$ref"))
            and all(self.fits(value, each) for each in _list(schema.get("allOf")))
            and self._any(value, schema.get("anyOf"))
            and self._any(value, schema.get("oneOf"))
            and (not isinstance(value, dict) or self._object(value, schema))
            and (not isinstance(value, list) or self._array(value, schema))
        )

    def _is_of_type(self, value: Any, wanted: Any) -> bool:
        names = [wanted] if isinstance(wanted, str) else _list(wanted)
        known = [TYPES[name] for name in names if isinstance(name, str) and name in TYPES]
        return not known or len(known) < len(names) or any(check(value) for check in known)

    def _any(self, value: Any, schemas: Any) -> bool:
        return not _list(schemas) or any(self.fits(value, each) for each in schemas)

    def _object(self, value: dict[str, Any], schema: dict[str, Any]) -> bool:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        if any(isinstance(name, str) and name not in value for name in _list(schema.get("required"))):
            return False
        if any(name in properties and not self.fits(each, properties[name]) for name, each in value.items()):
            return False
        rest = schema.get("additionalProperties", True)
        if schema.get("patternProperties"):
            return True
        return rest is True or all(
            self.fits(each, rest) for name, each in value.items() if name not in properties
        )

    def _array(self, value: list[Any], schema: dict[str, Any]) -> bool:
        first = _list(schema.get("prefixItems"))
        if not all(self.fits(each, shape) for each, shape in zip(value, first, strict=False)):
            return False
        return all(self.fits(each, schema.get("items", True)) for each in value[len(first) :])

    def _referred(self, value: Any, pointer: Any) -> bool:
        if not isinstance(pointer, str) or not pointer.startswith("#"):
            return True
        target: Any = self._root
        for part in pointer[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and key.isdigit() and int(key) < len(target):
                target = target[int(key)]
            else:
                target = target.get(key, True) if isinstance(target, dict) else True
        return self.fits(value, target)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _same(value: Any, other: Any) -> bool:
    """JSON's equality: 1 is 1.0, and true is not 1."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)
