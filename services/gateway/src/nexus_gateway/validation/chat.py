"""POST /v1/chat/completions: what its body may say and what a model must be able to do for it."""

from __future__ import annotations

from typing import Any

from nexus.types.v1 import model_pb2

from nexus_gateway.validation.messages import check_messages
from nexus_gateway.validation.params import Rule, array, boolean, check_object, integer, mapping, one_of
from nexus_gateway.validation.refusals import bad_value, unsupported
from nexus_gateway.validation.sampling import MAX_TOKENS, SAMPLING
from nexus_gateway.validation.tools import (
    check_function_call,
    check_functions,
    check_response_format,
    check_tool_choice,
    check_tools,
    tool_needs,
)


def _modalities(value: Any, path: str) -> None:
    array(value, path)
    for index, item in enumerate(value):
        one_of("text", "audio")(item, f"{path}[{index}]")
    if "audio" in value:
        raise unsupported(path, "no model of the mesh speaks in a chat. Ask for text.")


RULES: dict[str, Rule] = {
    **SAMPLING,
    "messages": lambda _value, _path: None,  # checked once the cheap parameters are known to be good
    "max_completion_tokens": integer(1, MAX_TOKENS),
    "logprobs": boolean,
    "top_logprobs": integer(0, 20),
    "tools": check_tools,
    "tool_choice": check_tool_choice,
    "functions": check_functions,
    "function_call": check_function_call,
    "parallel_tool_calls": boolean,
    "response_format": check_response_format,
    "reasoning_effort": one_of("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "verbosity": one_of("low", "medium", "high"),
    "modalities": _modalities,
    "service_tier": one_of("auto", "default", "flex", "scale", "priority", "fast"),
    "store": boolean,
    "prediction": mapping,
    "web_search_options": mapping,
}


def check_chat(body: dict[str, Any]) -> tuple[set[int], int]:
    """Capabilities needed and choices asked for. MeshError INVALID_REQUEST or UNSUPPORTED_PARAMETER."""
    check_object(body, RULES, ("model", "messages"))
    needs = tool_needs(body)
    check_messages(body["messages"], needs)
    if body.get("logprobs"):
        needs.add(model_pb2.CAPABILITY_LOGPROBS)
    elif "top_logprobs" in body:
        raise bad_value("top_logprobs", "only be sent with 'logprobs': true")
    choices = body.get("n", 1)
    if choices > 1:
        needs.add(model_pb2.CAPABILITY_CHOICES)
    return needs, choices
