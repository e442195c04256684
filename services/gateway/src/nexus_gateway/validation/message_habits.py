"""How clients spell messages: parts by other APIs' names, replayed calls with gaps, nulls for what is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

__all__ = ["tidy_messages"]

Part = dict[str, Any]


def tidy_messages(messages: list[Any]) -> None:
    """Changes the messages in place; the list keeps its length and order."""
    waiting: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        if type(message) is not dict:
            continue
        for name in [name for name, value in message.items() if value is None and name != "content"]:
            del message[name]
        if type(message.get("content")) is list:
            _tidy_parts(message)
        if type(message.get("tool_calls")) is list:
            waiting = [call for call in message["tool_calls"] if type(call) is dict]
            _tidy_calls(waiting, place)
        if message.get("role") == "tool":
            _tidy_result(message, waiting)


def _tidy_calls(calls: list[dict[str, Any]], place: int) -> None:
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


def _tidy_result(message: dict[str, Any], waiting: list[dict[str, Any]]) -> None:
    """A tool that gives nothing back; a result without an id answers the first call that still waits for its own."""
    if message.get("content") is None:
        message["content"] = ""
    answered = message.get("tool_call_id")
    if not answered and waiting:
        name = message.get("name")
        named = [call for call in waiting if name and _called(call) == name]
        answered = message["tool_call_id"] = (named or waiting)[0]["id"]
    waiting[:] = [call for call in waiting if call.get("id") != answered]


def _called(call: dict[str, Any]) -> Any:
    function = call.get("function")
    return function.get("name") if type(function) is dict else None


def _tidy_parts(message: dict[str, Any]) -> None:
    parts = message["content"]
    if message.get("role") == "assistant" and any(_is_thought(part) for part in parts):
        thoughts = [part.get("thinking", part.get("text", "")) for part in parts if _is_thought(part)]
        message.setdefault("reasoning_content", "\n".join(each for each in thoughts if type(each) is str))
        parts = [part for part in parts if not _is_thought(part)]
    message["content"] = [_part(part) for part in parts]


def _is_thought(part: Any) -> bool:
    """A thought has a field of its own in a message; nobody but who wrote it can read a redacted one."""
    return type(part) is dict and part.get("type") in ("thinking", "reasoning", "redacted_thinking")


def _part(part: Any) -> Any:
    kind = part.get("type") if type(part) is dict else None
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
