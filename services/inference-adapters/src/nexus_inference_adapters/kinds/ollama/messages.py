"""OpenAI chat messages as Ollama's: text in one string, images as base64, tool results by the tool's name."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from nexus_mesh.core import MeshError, Reason

__all__ = ["native_messages"]

ROLES = {"developer": "system", "function": "tool"}
DATA_URL = re.compile(r"data:image/[a-z+.-]+;base64,([A-Za-z0-9+/=\s]+)", re.IGNORECASE)


def native_messages(messages: Any) -> list[dict[str, Any]]:
    """The messages. Raises INVALID_REQUEST, UNSUPPORTED_PARAMETER."""
    if not isinstance(messages, list) or not messages:
        raise _invalid("messages must be a list with at least one message.")
    names: dict[str, str] = {}
    return [_message(message, names) for message in messages]


def _message(message: Any, names: dict[str, str]) -> dict[str, Any]:
    """One message. `names` maps the ids of the tool calls so far to their tools."""
    if not isinstance(message, dict):
        raise _invalid("Every message must be an object.")
    role = str(message.get("role"))
    text, images = _content(message.get("content"))
    native: dict[str, Any] = {"role": ROLES.get(role, role), "content": text}
    if images:
        native["images"] = images
    if thought := message.get("reasoning_content") or message.get("reasoning"):
        native["thinking"] = thought
    if calls := message.get("tool_calls"):
        native["tool_calls"] = [_call(call, names) for call in calls]
    if native["role"] == "tool":
        native |= _result_of(message, names)
    return native


def _result_of(message: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    call_id = message.get("tool_call_id")
    name = names.get(str(call_id)) or message.get("name")
    # Clients drop old messages to keep within a context: the call may have been among them.
    return ({"tool_name": name} if name else {}) | ({"tool_call_id": call_id} if call_id else {})


def _call(call: Any, names: dict[str, str]) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise _invalid("A tool call in the history has no function name.")
    arguments = _arguments(function.get("arguments") or "{}")
    call_id = call.get("id")
    if call_id:
        names[str(call_id)] = function["name"]
    return {
        **({"id": call_id} if call_id else {}),
        "function": {"name": function["name"], "arguments": arguments},
    }


def _arguments(said: Any) -> dict[str, Any]:
    """An object, which is all Ollama takes. What a model once got wrong stays readable: the chat goes on."""
    found = said
    if isinstance(said, str):
        try:
            found = msgspec.json.decode(said)
        except (ValueError, RecursionError):
            found = said
    if found is None:
        return {}
    return found if isinstance(found, dict) else {"arguments": said}


def _content(content: Any) -> tuple[str, list[str]]:
    """The text and the images of a message's content."""
    if content is None or isinstance(content, str):
        return content or "", []
    texts: list[str] = []
    images: list[str] = []
    for part in content if isinstance(content, list) else [content]:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("text", "refusal"):
            texts.append(str(part.get(kind, "")))
        elif kind == "image_url":
            images.append(_image(part.get("image_url")))
        else:
            raise _unsupported("Ollama takes text and images in messages, nothing else.")
    return "".join(texts), images


def _image(image: Any) -> str:
    url = image.get("url") if isinstance(image, dict) else image
    found = DATA_URL.fullmatch(url) if isinstance(url, str) else None
    if found is None:
        raise _unsupported(
            "Images must come as base64 data URLs: NEXUS fetches nothing on a request's behalf."
        )
    return re.sub(r"\s", "", found[1])


def _invalid(message: str) -> MeshError:
    return MeshError(Reason.INVALID_REQUEST, message, metadata={"param": "messages"})


def _unsupported(message: str) -> MeshError:
    return MeshError(Reason.UNSUPPORTED_PARAMETER, message, metadata={"param": "messages"})
