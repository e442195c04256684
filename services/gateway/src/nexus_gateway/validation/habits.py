"""Spellings that clients have for a chat and its messages, and what each stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from nexus_mesh.core import JsonObject

__all__ = [
    "WHOLE_NUMBERS",
    "tidy_calls",
    "tidy_choice",
    "tidy_format",
    "tidy_parts",
    "tidy_result",
    "tidy_stop",
    "tidy_tool",
]

Part = JsonObject


def tidy_calls(calls: list[JsonObject], place: int) -> None:
    """Arguments as the text they are for OpenAI, and an id for calls of engines that give none."""
    for number, call in enumerate(calls):
        function = call.get("function")
        if type(function) is dict and "name" in function:
            arguments = function.get("arguments")
            if arguments is None:
                function["arguments"] = "{}"
            elif type(arguments) is dict:
                function["arguments"] = msgspec.json.encode(arguments).decode()
        if not call.get("id"):
            call["id"] = f"call_{place}_{number}"


def tidy_result(message: JsonObject, waiting: list[JsonObject]) -> None:
    """A tool that gives nothing back; a result without an id answers the first call that still waits for its own."""
    if message.get("content") is None:
        message["content"] = ""
    answered = message.get("tool_call_id")
    if not answered and waiting:
        name = message.get("name")
        named = [call for call in waiting if name and _called(call) == name]
        answered = message["tool_call_id"] = (named or waiting)[0]["id"]
    waiting[:] = [call for call in waiting if call.get("id") != answered]


def _called(call: JsonObject) -> Any:
    function = call.get("function")
    return function.get("name") if type(function) is dict else None


def tidy_parts(message: JsonObject) -> None:
    """Parts under OpenAI's names; what the model thought in a field of its own."""
    parts = message["content"]
    if message.get("role") == "assistant" and any(_is_thought(part) for part in parts):
        thoughts = [part.get("thinking", part.get("text", "")) for part in parts if _is_thought(part)]
        message.setdefault("reasoning_content", "\n".join(each for each in thoughts if type(each) is str))
        parts = [part for part in parts if not _is_thought(part)]
    message["content"] = [_part(part) for part in parts]


def _is_thought(part: object) -> bool:
    """A thought has a field of its own in a message; nobody but who wrote it can read a redacted one."""
    return type(part) is dict and part.get("type") in ("thinking", "reasoning", "redacted_thinking")


def _part(part: object) -> object:
    if type(part) is not dict:
        return part
    kind = part.get("type")
    spelling = SPELLINGS.get(kind) if type(kind) is str else None
    return part if spelling is None else spelling(part)


def _text(part: Part) -> Part:
    return {"type": "text", "text": part["text"]} if "text" in part else part


def _image(part: Part) -> Part:
    """Of the Responses API: the URL itself, and how closely to look beside it."""
    if type(part.get("image_url")) is not str:
        return part
    detail = {"detail": part["detail"]} if part.get("detail") else {}
    return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}


def _anthropic_image(part: Part) -> Part:
    source = part.get("source")
    if type(source) is not dict or source.get("type") != "base64":
        return part
    url = f"data:{source.get('media_type', 'image/png')};base64,{source.get('data', '')}"
    return {"type": "image_url", "image_url": {"url": url}}


def _openai_image(part: Part) -> Part:
    url = part.get("image_url")
    if type(url) is not dict:
        return part
    return {**part, "image_url": {name: value for name, value in url.items() if value is not None}}


SPELLINGS: dict[str, Callable[[Part], Part]] = {
    "input_text": _text,
    "output_text": _text,
    "input_image": _image,
    "image": _anthropic_image,
    "image_url": _openai_image,
}


WHOLE_NUMBERS = (
    "max_tokens", "max_completion_tokens", "n", "seed", "top_logprobs", "top_k", "min_tokens", "best_of",
)  # fmt: skip
"""Clients in languages or files of settings without integers send 16.0."""
CHOICES = {"any": "required", "required": "required", "auto": "auto", "none": "none"}
"""LangChain and Anthropic say `any`."""


def tidy_stop(body: JsonObject) -> None:
    """An empty text would end every answer before it begins: nobody means that."""
    stop = body["stop"]
    if stop == "":
        del body["stop"]
    elif type(stop) is list and "" in stop:
        body["stop"] = [each for each in stop if each != ""]


def tidy_tool(tool: object) -> object:
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
    nested = tool.get("function")
    if type(nested) is dict:
        tool = {**tool, "function": _without_nulls(nested)}
    return tool


def tidy_choice(body: JsonObject) -> None:
    """OpenAI's words and forms for which tool is to be called."""
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


def _tidy_allowed(body: JsonObject, choice: JsonObject) -> None:
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


def tidy_format(body: JsonObject) -> None:
    """A schema where OpenAI has it, under a name; no format at all where an empty one is sent."""
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


def _without_nulls(found: JsonObject) -> JsonObject:
    """Optional nulls mean "default"; engines in languages with strict types fall over them."""
    return {name: value for name, value in found.items() if value is not None}
