"""Tools, tool choice and response format: what the model may call and what shape its answer must have."""

from __future__ import annotations

from typing import Any

from nexus.types.v1 import model_pb2

from nexus_gateway.validation.denied import refuse_denied
from nexus_gateway.validation.params import array, mapping, one_of, string
from nexus_gateway.validation.refusals import bad_value, missing, wrong_type
from nexus_gateway.validation.schema import check_schema

MAX_TOOLS = 512
_OF_TOOLS = frozenset({"tools", "tool_choice", "functions", "function_call", "parallel_tool_calls"})

_tool_name = string(128, shortest=1)
_tool_type = one_of("function", "custom")
_choice_word = one_of("none", "auto", "required")
_choice_type = one_of("function", "custom", "allowed_tools")
_format_type = one_of("text", "json_object", "json_schema")


def check_tools(value: Any, path: str) -> None:
    array(value, path)
    if len(value) > MAX_TOOLS:
        raise bad_value(path, f"have at most {MAX_TOOLS} entries")
    for index, tool in enumerate(value):
        here = f"{path}[{index}]"
        mapping(tool, here)
        refuse_denied(tool, here)
        _tool_type(_require(tool, "type", here), f"{here}.type")
        _check_function(_require(tool, tool["type"], here), f"{here}.{tool['type']}")


def check_functions(value: Any, path: str) -> None:
    """The deprecated twin of `tools`."""
    array(value, path)
    for index, function in enumerate(value):
        _check_function(function, f"{path}[{index}]")


def _check_function(function: Any, path: str) -> None:
    mapping(function, path)
    refuse_denied(function, path)
    _tool_name(_require(function, "name", path), f"{path}.name")
    if function.get("parameters") is not None:
        check_schema(function["parameters"], f"{path}.parameters")


def check_tool_choice(value: Any, path: str) -> None:
    if type(value) is dict:
        _choice_type(_require(value, "type", path), f"{path}.type")
        mapping(_require(value, value["type"], path), f"{path}.{value['type']}")
    elif type(value) is str:
        _choice_word(value, path)
    else:
        raise wrong_type(path, "a string or an object", value)


def check_function_call(value: Any, path: str) -> None:
    """The deprecated twin of `tool_choice`: a word or {"name": ...}."""
    if type(value) is dict:
        _tool_name(_require(value, "name", path), f"{path}.name")
    else:
        one_of("none", "auto")(value, path)


def check_response_format(value: Any, path: str) -> None:
    mapping(value, path)
    _format_type(_require(value, "type", path), f"{path}.type")
    if value.get("schema") is not None:  # llama.cpp's, beside either word
        check_schema(value["schema"], f"{path}.schema")
    if value["type"] != "json_schema":
        return
    here = f"{path}.json_schema"
    spec = _require(value, "json_schema", path)
    mapping(spec, here)
    _tool_name(_require(spec, "name", here), f"{here}.name")
    if spec.get("schema") is not None:
        check_schema(spec["schema"], f"{here}.schema")


def tool_needs(body: dict[str, Any]) -> dict[int, str]:
    """The capabilities the parameters of this file call for, and which of them does. MeshError if they contradict
    each other. Tools that may not be called are taken out: nothing of them is needed."""
    needs: dict[int, str] = {}
    name = "tool_choice" if "tool_choice" in body else "function_call"
    choice = body.get(name)
    if choice == "none":
        for unused in _OF_TOOLS & body.keys():
            del body[unused]
    tools = "tools" if body.get("tools") else "functions" if body.get("functions") else ""
    if tools:
        needs[model_pb2.CAPABILITY_TOOLS] = tools
    if choice not in (None, "auto", "none"):
        if not tools:
            raise bad_value(name, "come with the tools to choose from")
        needs[model_pb2.CAPABILITY_TOOL_CHOICE] = name
    if body.get("response_format", {}).get("type", "text") != "text":
        needs[model_pb2.CAPABILITY_JSON] = "response_format"
    return needs


def _require(found: dict[str, Any], name: str, path: str) -> Any:
    if name not in found:
        raise missing(f"{path}.{name}")
    return found[name]
