"""A chat's body: its parameters, its messages, and what a model must be able to do for it."""

from __future__ import annotations

from typing import Any

from nexus.types.v1 import model_pb2
from nexus_mesh.core import JsonArray, JsonObject

from nexus_gateway.validation.body_rules import BodyRules, When, explained
from nexus_gateway.validation.habits import (
    WHOLE_NUMBERS,
    tidy_calls,
    tidy_choice,
    tidy_format,
    tidy_parts,
    tidy_result,
    tidy_stop,
    tidy_tool,
)
from nexus_gateway.validation.params import (
    MAX_ALTERNATIVES,
    SAMPLING,
    SAYS_NOTHING,
    SOME_TOKENS,
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
    token_limit,
)
from nexus_gateway.validation.parts import PARTS, check_content, check_rest
from nexus_gateway.validation.refusals import bad_value, missing, unsupported, wrong_type
from nexus_gateway.validation.tools import (
    OFFERED_FORMAT,
    OFFERED_FUNCTION,
    check_function_call,
    check_functions,
    check_response_format,
    check_tool_choice,
    check_tools,
)

ROLES = ("developer", "system", "user", "assistant", "tool", "function")

_role = one_of(*ROLES)
_OF_TOOLS = frozenset({"tools", "tool_choice", "functions", "function_call", "parallel_tool_calls"})


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
                            "properties": {"type": {"type": "string", "enum": list(PARTS)}},
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


_ALWAYS_TAKEN: dict[str, JsonObject] = {
    "messages": {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "required": ["role", "content"],
            "properties": {
                "role": {"type": "string", "enum": ["user", "system"]},
                "content": {"type": "string"},
            },
            "additionalProperties": False,
        },
    },
    "max_tokens": SOME_TOKENS,
    "max_completion_tokens": SOME_TOKENS,
    "tools": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["type", "function"],
            "properties": {"type": {"const": "function"}, "function": OFFERED_FUNCTION},
            "additionalProperties": False,
        },
    },
    "tool_choice": {"type": "string", "enum": ["none", "auto", "required"]},
    "response_format": OFFERED_FORMAT,
}


@explained(
    BodyRules(
        defaults={"stream": False, "n": 1, "logprobs": False, "stop": [], "logit_bias": {}},
        needs={
            "tools": model_pb2.CAPABILITY_TOOLS,
            "tool_choice": model_pb2.CAPABILITY_TOOL_CHOICE,
            "parallel_tool_calls": model_pb2.CAPABILITY_TOOLS,
            "response_format": model_pb2.CAPABILITY_JSON,
            "logprobs": model_pb2.CAPABILITY_LOGPROBS,
            "top_logprobs": model_pb2.CAPABILITY_LOGPROBS,
            "n": model_pb2.CAPABILITY_CHOICES,
        },
        hidden=frozenset({"functions", "function_call", "web_search_options", "prediction", "modalities"}),
        narrower=_ALWAYS_TAKEN,
        whens=(
            When("top_logprobs", {"logprobs": {"const": True}}),
            When("stream_options", {"stream": {"const": True}}),
            When("tool_choice", {"tools": {"minItems": 1}}),
        ),
    )
)
def check_chat(body: JsonObject) -> tuple[dict[int, str], int]:
    """Capabilities needed and choices asked for. MeshError INVALID_REQUEST or UNSUPPORTED_PARAMETER."""
    _tidy(body)
    check_object(body, OF_CHAT, ("model", "messages"))
    drop_nothings(body, NOTHING)
    needs = _tool_needs(body)
    _check_messages(body["messages"], needs)
    if body.get("logprobs"):
        needs[model_pb2.CAPABILITY_LOGPROBS] = "logprobs"
    elif "top_logprobs" in body:
        raise bad_value("top_logprobs", "only be sent with 'logprobs': true")
    choices = body.get("n", 1)
    if choices > 1:
        needs[model_pb2.CAPABILITY_CHOICES] = "n"
    return needs, choices


def _tidy(body: JsonObject) -> None:
    """Puts what clients spell in their own ways as OpenAI does, in place."""
    for name in WHOLE_NUMBERS:
        value = body.get(name)
        if type(value) is float and value.is_integer():
            body[name] = int(value)
    if type(body.get("stop")) in (str, list):
        tidy_stop(body)
    if type(body.get("tools")) is list:
        body["tools"] = [tidy_tool(tool) for tool in body["tools"]]
    if body.get("tool_choice") is not None:
        tidy_choice(body)
    if type(body.get("response_format")) is dict:
        tidy_format(body)
    if type(body.get("messages")) is list:
        _tidy_messages(body["messages"])


def _tidy_messages(messages: JsonArray) -> None:
    """Changes the messages in place; the list keeps its length and order."""
    waiting: list[JsonObject] = []
    for place, message in enumerate(messages):
        if type(message) is not dict:
            continue
        for name in [name for name, value in message.items() if value is None and name != "content"]:
            del message[name]
        if type(message.get("content")) is list:
            tidy_parts(message)
        if type(message.get("tool_calls")) is list:
            waiting = [call for call in message["tool_calls"] if type(call) is dict]
            tidy_calls(waiting, place)
        if message.get("role") == "tool":
            tidy_result(message, waiting)


def _tool_needs(body: JsonObject) -> dict[int, str]:
    """The capabilities that tools and formats call for, and which of them does. MeshError if they contradict
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


def _check_messages(messages: object, needs: dict[int, str]) -> None:
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
            check_content(message, f"messages[{index}].content", needs)
        if len(message) > 2 or "content" not in message:
            check_rest(message, f"messages[{index}]")
        if role == "tool" and "tool_call_id" not in message:
            raise missing(f"messages[{index}].tool_call_id")


def _refuse_role(message: JsonObject, path: str) -> None:
    if "role" not in message:
        raise missing(path)
    _role(message["role"], path)
