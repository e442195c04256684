"""How well-meaning clients spell what OpenAI spells otherwise: brought to its one form before anything is checked.

Nothing is guessed and nothing is lost here: each row is another name for the same. What it does not know it leaves as
it came, for the checks to judge.
"""

from __future__ import annotations

from typing import Any

from nexus_gateway.validation.message_habits import tidy_messages

__all__ = ["tidy_chat"]

WHOLE_NUMBERS = (
    "max_tokens", "max_completion_tokens", "n", "seed", "top_logprobs", "top_k", "min_tokens", "best_of",
)  # fmt: skip
"""Clients in languages or files of settings without integers send 16.0."""
CHOICES = {"any": "required", "required": "required", "auto": "auto", "none": "none"}
"""LangChain and Anthropic say `any`."""


def tidy_chat(body: dict[str, Any]) -> None:
    """Changes a chat's body in place."""
    for name in WHOLE_NUMBERS:
        value = body.get(name)
        if type(value) is float and value.is_integer():
            body[name] = int(value)
    if type(body.get("stop")) in (str, list):
        _tidy_stop(body)
    if type(body.get("tools")) is list:
        body["tools"] = [_tool(tool) for tool in body["tools"]]
    if body.get("tool_choice") is not None:
        _tidy_choice(body)
    if type(body.get("response_format")) is dict:
        _tidy_format(body)
    if type(body.get("messages")) is list:
        tidy_messages(body["messages"])


def _tidy_stop(body: dict[str, Any]) -> None:
    """An empty text would end every answer before it begins: nobody means that."""
    stop = body["stop"]
    if stop == "":
        del body["stop"]
    elif type(stop) is list and "" in stop:
        body["stop"] = [each for each in stop if each != ""]


def _tool(tool: Any) -> Any:
    """A function in OpenAI's nested form: it also comes flat, as Anthropic's, and without a type."""
    if type(tool) is not dict:
        return tool
    if tool.get("type", "function") == "function" and "name" in tool and "function" not in tool:
        schema = tool.get("parameters", tool.get("input_schema"))
        function = {name: tool[name] for name in ("name", "description", "strict") if name in tool}
        rest = {
            name: value
            for name, value in tool.items()
            if name not in (*function, "parameters", "input_schema")
        }
        tool = {**rest, "function": function if schema is None else {**function, "parameters": schema}}
    if "type" not in tool and "function" in tool:
        tool = {"type": "function", **tool}
    if type(tool.get("function")) is dict:
        tool = {**tool, "function": _without_nulls(tool["function"])}
    return tool


def _tidy_choice(body: dict[str, Any]) -> None:
    choice = body["tool_choice"]
    if type(choice) is str:
        body["tool_choice"] = CHOICES.get(choice, choice)
        return
    if type(choice) is not dict:
        return
    kind = choice.get("type")
    if type(kind) is str and kind in CHOICES and len(choice) == 1:
        body["tool_choice"] = CHOICES[kind]
    elif type(choice.get("name")) is str and kind in (None, "function", "tool"):
        body["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    elif kind is None and "function" in choice:
        body["tool_choice"] = {"type": "function", **choice}
    elif kind == "allowed_tools":
        _tidy_allowed(body, choice)


def _tidy_allowed(body: dict[str, Any], choice: dict[str, Any]) -> None:
    """A choice among some of the tools is a choice among all of a shorter list, which every engine knows."""
    allowed = choice.get("allowed_tools", choice)
    given = allowed.get("tools") if type(allowed) is dict else None
    mode = allowed.get("mode") if type(allowed) is dict else None
    if type(given) is not list or type(body.get("tools")) is not list or type(mode) is not str:
        return
    names = {_name(tool) for tool in given}
    kept = [tool for tool in body["tools"] if _name(tool) in names]
    if None not in names and len(kept) == len(names):
        body["tools"], body["tool_choice"] = kept, mode


def _name(tool: Any) -> str | None:
    found = tool.get("function", tool) if type(tool) is dict else None
    name = found.get("name") if type(found) is dict else None
    return name if type(name) is str else None


def _tidy_format(body: dict[str, Any]) -> None:
    wanted = body["response_format"]
    if not wanted:
        del body["response_format"]
        return
    if wanted.get("type") != "json_schema":
        return
    spec = wanted.get("json_schema")
    if spec is None and type(wanted.get("schema")) is dict:
        wanted = {name: value for name, value in wanted.items() if name != "schema"}
        spec = {"schema": body["response_format"]["schema"]}
    elif type(spec) is dict and "schema" not in spec and ("properties" in spec or "$ref" in spec):
        spec = {"schema": spec}
    if type(spec) is dict:
        body["response_format"] = {**wanted, "json_schema": {"name": "answer", **_without_nulls(spec)}}


def _without_nulls(found: dict[str, Any]) -> dict[str, Any]:
    """Optional nulls mean "default"; engines in languages with strict types fall over them."""
    return {name: value for name, value in found.items() if value is not None}
