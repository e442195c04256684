"""The rules of tools and schemas that a request carries."""

from __future__ import annotations

from typing import Any

from nexus_mesh.core import JsonArray, JsonObject, MeshError

from nexus_gateway.validation.params import array, mapping, one_of, refuse_denied, shaped, string
from nexus_gateway.validation.pattern import states, trouble
from nexus_gateway.validation.refusals import bad_value, invalid, missing, wrong_type

MAX_PATTERN = 4096
MAX_PATTERNS = 1000
MAX_STATES = 1_000_000
"""Of all patterns of a schema, with their counted repetitions written out."""

_TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_SPELLINGS = {
    "str": "string", "int": "integer", "float": "number", "double": "number", "bool": "boolean",
    "dict": "object", "list": "array", "tuple": "array", "none": "null",
}  # fmt: skip
"""Types as languages call them; Gemini's clients write them in capitals."""
_NESTED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_SINGLE = (
    "items", "additionalItems", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames",
    "unevaluatedItems", "unevaluatedProperties", "contentSchema",
)  # fmt: skip
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def check_schema(schema: object, path: str) -> None:
    """MeshError INVALID_REQUEST invalid_schema when a backend could choke on `schema`.

    Types are put under their true names on the way.
    """
    schema = mapping(schema, path)
    pending: list[tuple[Any, str]] = [(schema, path)]
    patterns = size = 0
    while pending:
        node, here = pending.pop()
        if type(node) is bool:
            continue
        if type(node) is not dict:
            raise _refuse(here, "must be an object or a boolean")
        _check_types(node, here)
        _check_references(node, here)
        for pattern in _patterns(node):
            size += check_pattern(pattern, f"{here}.pattern")
            patterns += 1
        if patterns > MAX_PATTERNS or size > MAX_STATES:
            raise _refuse(path, f"must have at most {MAX_PATTERNS} patterns, with {MAX_STATES} parts in all")
        pending.extend(_children(node, here))


def _check_types(node: JsonObject, path: str) -> None:
    if "type" not in node:
        return
    given = node["type"]
    if type(given) is str and given.lower() == "any":
        del node["type"]
    elif type(given) is list:
        node["type"] = [_true_type(each, path) for each in given]
    else:
        node["type"] = _true_type(given, path)


def _true_type(word: Any, path: str) -> str:
    if type(word) is str:
        lower = word.lower()
        if (found := _SPELLINGS.get(lower, lower)) in _TYPES:
            return found
    raise _refuse(f"{path}.type", f"must be of {', '.join(sorted(_TYPES))}")


def _check_references(node: JsonObject, path: str) -> None:
    """Some engines fetch what stands elsewhere: an address there is one they can reach and a client cannot."""
    for name in _REFERENCES:
        pointed = node.get(name)
        if type(pointed) is str and not pointed.startswith("#"):
            raise _refuse(f"{path}.{name}", "must point into the schema itself, as #/$defs/... does")


def check_pattern(pattern: object, path: str) -> int:
    """The size of a regular expression written out. MeshError INVALID_REQUEST invalid_schema when it is none."""
    if type(pattern) is not str or len(pattern) > MAX_PATTERN:
        raise _refuse(path, f"must be a string of at most {MAX_PATTERN} characters")
    if wrong := trouble(pattern):
        raise _refuse(path, f"must {wrong}")
    return states(pattern)


def _patterns(node: JsonObject) -> JsonArray:
    patterns = [node["pattern"]] if "pattern" in node else []
    if type(node.get("patternProperties")) is dict:
        patterns += node["patternProperties"]
    return patterns


def _children(node: JsonObject, path: str) -> list[tuple[Any, str]]:
    found = [
        (node[name], f"{path}.{name}")
        for name in _SINGLE
        if node.get(name) is not None and type(node[name]) is not list
    ]
    for name in _NESTED:
        if node.get(name) is not None:
            mapping(node[name], f"{path}.{name}")
            found += [(child, f"{path}.{name}.{key[:64]}") for key, child in node[name].items()]
    if type(node.get("items")) is list:  # of older drafts
        found += [(child, f"{path}.items[{index}]") for index, child in enumerate(node["items"])]
    for name in _LISTS:
        if node.get(name) is not None:
            array(node[name], f"{path}.{name}")
            found += [(child, f"{path}.{name}[{index}]") for index, child in enumerate(node[name])]
    return found


def _refuse(path: str, rule: str) -> MeshError:
    return invalid("invalid_schema", f"'{path}' {rule}.", path)


MAX_TOOLS = 512
MAX_NAME = 128
_NAME = {"type": "string", "minLength": 1, "maxLength": MAX_NAME, "pattern": "^[A-Za-z0-9_-]+$"}
_SCHEMA: JsonObject = {
    "type": "object",
    "required": ["type", "properties"],
    "properties": {
        "type": {"const": "object"},
        "properties": {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": MAX_NAME},
            "additionalProperties": {
                "type": "object",
                "required": ["type"],
                "properties": {
                    "type": {"enum": ["string", "number", "integer", "boolean"]},
                    "description": {"type": "string"},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
"""Of schemas those that every engine knows: an object of plain values."""
OFFERED_FUNCTION: JsonObject = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": _NAME, "description": {"type": "string"}, "parameters": _SCHEMA},
    "additionalProperties": False,
}
OFFERED_FORMAT: JsonObject = {
    "type": "object",
    "required": ["type"],
    "oneOf": [
        {"properties": {"type": {"const": "text"}}, "additionalProperties": False},
        {"properties": {"type": {"const": "json_object"}}, "additionalProperties": False},
        {
            "required": ["json_schema"],
            "properties": {
                "type": {"const": "json_schema"},
                "json_schema": {
                    "type": "object",
                    "required": ["name", "schema"],
                    "properties": {"name": _NAME, "schema": _SCHEMA},
                    "additionalProperties": False,
                },
            },
            "additionalProperties": False,
        },
    ],
}

_tool_name = string(MAX_NAME, shortest=1)
_tool_type = one_of("function", "custom")
_choice_word = one_of("none", "auto", "required")
_choice_type = one_of("function", "custom", "allowed_tools")
_format_type = one_of("text", "json_object", "json_schema")


_FUNCTION = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": MAX_NAME},
        "parameters": {"type": ["object", "null"]},
    },
}


@shaped(
    type="array",
    maxItems=MAX_TOOLS,
    items={
        "type": "object",
        "required": ["type"],
        "properties": {
            "type": {"type": "string", "enum": ["function", "custom"]},
            "function": _FUNCTION,
        },
    },
)
def check_tools(value: object, path: str) -> None:
    value = array(value, path)
    if len(value) > MAX_TOOLS:
        raise bad_value(path, f"have at most {MAX_TOOLS} entries")
    for index, tool in enumerate(value):
        here = f"{path}[{index}]"
        mapping(tool, here)
        refuse_denied(tool, here)
        _tool_type(_require(tool, "type", here), f"{here}.type")
        _check_function(_require(tool, tool["type"], here), f"{here}.{tool['type']}")


@shaped(type="array", items=_FUNCTION)
def check_functions(value: object, path: str) -> None:
    """The deprecated twin of `tools`."""
    value = array(value, path)
    for index, function in enumerate(value):
        _check_function(function, f"{path}[{index}]")


def _check_function(function: object, path: str) -> None:
    function = mapping(function, path)
    refuse_denied(function, path)
    _tool_name(_require(function, "name", path), f"{path}.name")
    if function.get("parameters") is not None:
        check_schema(function["parameters"], f"{path}.parameters")


@shaped(
    anyOf=[
        {"type": "string", "enum": ["none", "auto", "required"]},
        {"type": "object", "required": ["type"]},
    ]
)
def check_tool_choice(value: object, path: str) -> None:
    if type(value) is dict:
        _choice_type(_require(value, "type", path), f"{path}.type")
        mapping(_require(value, value["type"], path), f"{path}.{value['type']}")
    elif type(value) is str:
        _choice_word(value, path)
    else:
        raise wrong_type(path, "a string or an object", value)


@shaped(anyOf=[{"type": "string", "enum": ["none", "auto"]}, {"type": "object", "required": ["name"]}])
def check_function_call(value: object, path: str) -> None:
    """The deprecated twin of `tool_choice`: a word or {"name": ...}."""
    if type(value) is dict:
        _tool_name(_require(value, "name", path), f"{path}.name")
    else:
        one_of("none", "auto")(value, path)


@shaped(
    type="object",
    required=["type"],
    properties={"type": {"type": "string", "enum": ["text", "json_object", "json_schema"]}},
)
def check_response_format(value: object, path: str) -> None:
    value = mapping(value, path)
    _format_type(_require(value, "type", path), f"{path}.type")
    if value.get("schema") is not None:  # llama.cpp's, beside either word
        check_schema(value["schema"], f"{path}.schema")
    if value["type"] != "json_schema":
        return
    here = f"{path}.json_schema"
    spec = _require(value, "json_schema", path)
    spec = mapping(spec, here)
    _tool_name(_require(spec, "name", here), f"{here}.name")
    if spec.get("schema") is not None:
        check_schema(spec["schema"], f"{here}.schema")


def _require(found: JsonObject, name: str, path: str) -> Any:
    if name not in found:
        raise missing(f"{path}.{name}")
    return found[name]
