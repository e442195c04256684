"""POST /v1/chat/completions: what its body may say and what a model must be able to do for it."""

from __future__ import annotations

from typing import Any

from nexus.types.v1 import model_pb2

from nexus_gateway.validation.habits import tidy_chat
from nexus_gateway.validation.messages import check_messages
from nexus_gateway.validation.params import (
    Rule,
    array,
    boolean,
    check_object,
    drop_nothings,
    integer,
    mapping,
    one_of,
    string,
)
from nexus_gateway.validation.refusals import bad_value, unsupported
from nexus_gateway.validation.sampling import MAX_ALTERNATIVES, SAMPLING, SAYS_NOTHING, token_limit
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


def check_chat(body: dict[str, Any]) -> tuple[dict[int, str], int]:
    """Capabilities needed and choices asked for. MeshError INVALID_REQUEST or UNSUPPORTED_PARAMETER."""
    tidy_chat(body)
    check_object(body, RULES, ("model", "messages"))
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
