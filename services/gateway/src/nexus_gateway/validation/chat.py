"""A chat's body: its messages and what may stand in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nexus.types.v1 import model_pb2
from nexus_mesh.core import JsonObject

from nexus_gateway.validation.habits import tidy_chat
from nexus_gateway.validation.images import clean_image_url
from nexus_gateway.validation.params import (
    MAX_ALTERNATIVES,
    SAMPLING,
    SAYS_NOTHING,
    Rule,
    array,
    boolean,
    check_object,
    checked_later,
    drop_nothings,
    integer,
    mapping,
    one_of,
    shaped,
    string,
    text,
    token_limit,
)
from nexus_gateway.validation.refusals import bad_value, missing, unsupported, wrong_type
from nexus_gateway.validation.tools import (
    check_function_call,
    check_functions,
    check_response_format,
    check_tool_choice,
    check_tools,
    tool_needs,
)

ROLES = ("developer", "system", "user", "assistant", "tool", "function")

_MAY_LACK_CONTENT = frozenset({"assistant", "function"})
_role = one_of(*ROLES)
_name = string(256)
_call_id = string(65_536)  # some gateways hide a model's signed thoughts in it
_audio_format = one_of("wav", "mp3")
_OF_IMAGE = frozenset({"url", "detail"})
_OF_AUDIO = frozenset({"data", "format"})


def check_messages(messages: object, needs: dict[int, str]) -> None:
    """MeshError INVALID_REQUEST at the first wrong message; adds the capabilities they need to `needs`.

    Images are put under their true names on the way.
    """
    messages = array(messages, "messages")
    if not messages:
        raise missing("messages")
    for index, message in enumerate(messages):
        if type(message) is not dict:
            raise wrong_type(f"messages[{index}]", "an object", message)
        role = message.get("role")
        if type(role) is not str or role not in ROLES:
            _refuse_role(message, f"messages[{index}].role")
        if type(message.get("content")) is not str:
            _check_content(message, f"messages[{index}].content", needs)
        if len(message) > 2 or "content" not in message:
            _check_rest(message, f"messages[{index}]")
        if role == "tool" and "tool_call_id" not in message:
            raise missing(f"messages[{index}].tool_call_id")


def _refuse_role(message: JsonObject, path: str) -> None:
    if "role" not in message:
        raise missing(path)
    _role(message["role"], path)


def _check_content(message: JsonObject, path: str, needs: dict[int, str]) -> None:
    content = message.get("content")
    if content is None:
        if message["role"] in _MAY_LACK_CONTENT:
            return
        raise missing(path) if "content" not in message else wrong_type(path, "a string or an array", content)
    if type(content) is not list:
        raise wrong_type(path, "a string or an array", content)
    for index, part in enumerate(content):
        _check_part(part, f"{path}[{index}]", needs)


def _check_part(part: object, path: str, needs: dict[int, str]) -> None:
    part = mapping(part, path)
    kind = part.get("type")
    if kind is None:
        raise missing(f"{path}.type")
    check = _PARTS.get(kind) if type(kind) is str else None
    if check is None:
        raise bad_value(f"{path}.type", f"be one of {', '.join(_PARTS)}")
    if kind not in part:
        raise missing(f"{path}.{kind}")
    if kind == "image_url" and type(part[kind]) is str:
        part[kind] = {"url": part[kind]}
    check(part[kind], f"{path}.{kind}", needs)
    if (
        len(part) > 2
    ):  # what an engine makes of more was looked at by nobody: an address, the name of another's image
        for name in part.keys() - {"type", kind}:
            del part[name]


def _text_part(value: object, path: str, _: dict[int, str]) -> None:
    text(value, path)


def _image_part(value: object, path: str, needs: dict[int, str]) -> None:
    value = mapping(value, path)
    if "url" not in value:
        raise missing(f"{path}.url")
    text(value["url"], f"{path}.url")
    value["url"] = clean_image_url(value["url"], f"{path}.url")
    for name in value.keys() - _OF_IMAGE:
        del value[name]
    needs[model_pb2.CAPABILITY_VISION] = "messages"


def _audio_part(value: object, path: str, needs: dict[int, str]) -> None:
    value = mapping(value, path)
    for name in ("data", "format"):
        if name not in value:
            raise missing(f"{path}.{name}")
    text(value["data"], f"{path}.data")
    _audio_format(value["format"], f"{path}.format")
    for name in value.keys() - _OF_AUDIO:
        del value[name]
    needs[model_pb2.CAPABILITY_AUDIO] = "messages"


def _file_part(_: Any, path: str, __: dict[int, str]) -> None:
    raise unsupported(path, "no backend of the mesh reads files. Send their text, or pages as images.")


_PARTS: dict[str, Callable[[Any, str, dict[int, str]], None]] = {
    "text": _text_part,
    "refusal": _text_part,
    "image_url": _image_part,
    "input_audio": _audio_part,
    "file": _file_part,
}


def _check_rest(message: JsonObject, path: str) -> None:
    if message.get("name") is not None:
        _name(message["name"], f"{path}.name")
    if message.get("tool_call_id") is not None:
        _call_id(message["tool_call_id"], f"{path}.tool_call_id")
    if message.get("tool_calls") is not None:
        _check_tool_calls(message["tool_calls"], f"{path}.tool_calls")


def _check_tool_calls(calls: object, path: str) -> None:
    calls = array(calls, path)
    for index, call in enumerate(calls):
        here = f"{path}[{index}]"
        mapping(call, here)
        if call.get("type", "function") != "function":
            continue
        if "function" not in call:
            raise missing(f"{here}.function")
        function = call["function"]
        function = mapping(function, f"{here}.function")
        for name in ("name", "arguments"):
            if name not in function:
                raise missing(f"{here}.function.{name}")
            text(function[name], f"{here}.function.{name}")


@shaped(type="array", items={"type": "string", "enum": ["text"]})
def _modalities(value: object, path: str) -> None:
    value = array(value, path)
    for index, item in enumerate(value):
        one_of("text", "audio")(item, f"{path}[{index}]")
    if "audio" in value:
        raise unsupported(path, "no model of the mesh speaks in a chat. Ask for text.")


MESSAGES: JsonObject = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["role"],
        "properties": {
            "role": {"type": "string", "enum": list(ROLES)},
            "content": {
                "anyOf": [
                    {"type": ["string", "null"]},
                    {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["type"],
                            "properties": {"type": {"type": "string", "enum": list(_PARTS)}},
                        },
                    },
                ]
            },
            "name": {"type": ["string", "null"], "maxLength": 256},
            "tool_call_id": {"type": ["string", "null"]},
            "tool_calls": {"type": ["array", "null"], "items": {"type": "object"}},
        },
    },
}

OF_CHAT: dict[str, Rule] = {
    **SAMPLING,
    "messages": checked_later(**MESSAGES),  # once the cheap parameters are known to be good
    "max_completion_tokens": token_limit,
    "logprobs": boolean,
    "top_logprobs": integer(0, MAX_ALTERNATIVES),
    "tools": check_tools,
    "tool_choice": check_tool_choice,
    "functions": check_functions,
    "function_call": check_function_call,
    "parallel_tool_calls": boolean,
    "response_format": check_response_format,
    "reasoning_effort": string(64),
    "verbosity": string(64),
    "modalities": _modalities,
    "service_tier": string(64),
    "store": boolean,
    "prediction": mapping,
    "web_search_options": mapping,
}
NOTHING: dict[str, tuple[Any, ...]] = {
    **SAYS_NOTHING,
    "max_tokens": (-1,),
    "max_completion_tokens": (-1,),
    "top_logprobs": (0,),
}
"""Values that ask for what comes without the parameter."""


def check_chat(body: JsonObject) -> tuple[dict[int, str], int]:
    """Capabilities needed and choices asked for. MeshError INVALID_REQUEST or UNSUPPORTED_PARAMETER."""
    tidy_chat(body)
    check_object(body, OF_CHAT, ("model", "messages"))
    drop_nothings(body, NOTHING)
    needs = tool_needs(body)
    check_messages(body["messages"], needs)
    if body.get("logprobs"):
        needs[model_pb2.CAPABILITY_LOGPROBS] = "logprobs"
    elif "top_logprobs" in body:
        raise bad_value("top_logprobs", "only be sent with 'logprobs': true")
    choices = body.get("n", 1)
    if choices > 1:
        needs[model_pb2.CAPABILITY_CHOICES] = "n"
    return needs, choices
