"""A tool call that must come, from an engine that cannot be told so but holds an answer to a schema.

The answer is held to the arguments' schema of the tool (to a choice among them where there are several), the tools are
told in words, and the answer is given back as the call it is.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import msgspec
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.contract import Broken, Event
from nexus_inference_adapters.openai.json_shape import fits
from nexus_inference_adapters.openai.tool_calls import new_call_id

__all__ = ["Forced", "forced_names"]

ANY_OBJECT = {"type": "object"}
JSON = model_pb2.CAPABILITY_JSON
ONE = "Call the tool {name!r} now. Answer with its arguments alone, one JSON object, and nothing else."
SEVERAL = (
    "Call one of these tools now. Answer with one JSON object and nothing else: "
    '{"name": the tool, "arguments": its arguments}.'
)


def forced_names(body: Mapping[str, Any]) -> frozenset[str] | None:
    """The tools one of which an answer must call; None when it need not call any."""
    tools = _functions(body.get("tools"))
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        allowed = choice.get("allowed_tools")
        if choice.get("type") == "allowed_tools" and isinstance(allowed, dict):
            return frozenset(_functions(allowed.get("tools"))) if allowed.get("mode") == "required" else None
        named = choice.get("function")
        return frozenset({str(named.get("name"))}) if isinstance(named, dict) else None
    return frozenset(tools) if choice == "required" and tools else None


class Forced:
    """One request whose tool call is brought about by a schema."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        """Raises INVALID_REQUEST when the named tool is none of the tools."""
        given = _functions(body.get("tools"))
        names = forced_names(body) or frozenset()
        if not names or not names <= given.keys():
            raise MeshError(
                Reason.INVALID_REQUEST, "tool_choice names a tool that is not among the tools.",
                metadata={"param": "tool_choice"},
            )  # fmt: skip
        self._tools = {name: tool for name, tool in given.items() if name in names}

    @property
    def sole(self) -> str | None:
        """The tool's name where there is no choice."""
        return next(iter(self._tools)) if len(self._tools) == 1 else None

    def schema(self) -> dict[str, Any]:
        """What the answer is held to."""
        if self.sole is not None:
            return _parameters(self._tools[self.sole])
        places = {name: f"tool{number}" for number, name in enumerate(self._tools)}
        return {
            "$defs": {
                place: _moved(_parameters(self._tools[name]), f"#/$defs/{place}")
                for name, place in places.items()
            },
            "oneOf": [
                {
                    "type": "object",
                    "properties": {"name": {"const": name}, "arguments": {"$ref": f"#/$defs/{place}"}},
                    "required": ["name", "arguments"],
                    "additionalProperties": False,
                }
                for name, place in places.items()
            ],
        }

    def asked(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body with a schema in place of the tools."""
        left = {key: body[key] for key in body if key not in ("tools", "tool_choice", "parallel_tool_calls")}
        held = {
            "type": "json_schema",
            "json_schema": {"name": "tool_call", "schema": self.schema(), "strict": True},
        }
        return {**left, "messages": self._told(body.get("messages")), "response_format": held}

    async def calls(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """The events with the answer's text turned into a call; arguments of a sole tool as they come."""
        choices: dict[int, _Call] = {}
        async with aclosing(events):
            async for event in events:
                if type(event) is not list:
                    yield event
                    continue
                turned = [self._turned(text, choices) for text in event]
                if kept := [text for text in turned if text]:
                    yield kept

    def _turned(self, text: str, choices: dict[int, _Call]) -> str:
        chunk = msgspec.json.decode(text)
        chunk["choices"] = [
            choice
            for choice in chunk["choices"]
            if choices.setdefault(choice["index"], _Call(self.sole, self._tools)).turn(choice)
        ]
        return msgspec.json.encode(chunk).decode() if chunk["choices"] else ""

    def _told(self, messages: Any) -> Any:
        """The messages with the tools in words, in a system message of their own or at the end of the first."""
        if not isinstance(messages, list):
            return messages
        lines = [ONE.format(name=self.sole) if self.sole is not None else SEVERAL]
        lines += [msgspec.json.encode(tool).decode() for tool in self._tools.values()]
        words = "\n".join(lines)
        first = messages[0] if messages else None
        if isinstance(first, dict) and first.get("role") in ("system", "developer"):
            content = first.get("content")
            more: Any = (
                [*content, {"type": "text", "text": words}]
                if isinstance(content, list)
                else f"{content}\n\n{words}"
            )
            return [{**first, "content": more}, *messages[1:]]
        return [{"role": "system", "content": words}, *messages]


class _Call:
    """The call that one choice's text becomes."""

    def __init__(self, sole: str | None, tools: Mapping[str, Any]) -> None:
        self._name = sole
        self._tools = tools
        self._begun = False
        self._heard: list[str] = []

    def turn(self, choice: dict[str, Any]) -> bool:
        """Changes a choice of a chunk; whether anything is left of it. Raises Broken for text that is no call."""
        delta = choice.get("delta") or {}
        text = delta.pop("content", None) or ""
        choice.pop("logprobs", None)  # of a text that nobody sees
        pieces = [self._piece(text)] if self._name is not None and text else []
        self._heard.append(text)
        if choice.get("finish_reason") == "stop":
            pieces += self._ended()
            choice["finish_reason"] = "tool_calls"
        if pieces:
            delta["tool_calls"] = pieces
        choice["delta"] = delta
        return bool(delta) or bool(choice.get("finish_reason"))

    def _ended(self) -> list[dict[str, Any]]:
        """What is still to be said. Raises Broken for an answer that is not held to the schema."""
        try:
            said = msgspec.json.decode("".join(self._heard))
        except (ValueError, RecursionError):
            said = None
        name, arguments = self._name, said
        if name is None and isinstance(said, dict):
            name, arguments = said.get("name"), said.get("arguments")
        tool = self._tools.get(name) if isinstance(name, str) else None
        if tool is None or not isinstance(arguments, dict) or not fits(arguments, _parameters(tool)):
            raise Broken("The backend was asked to call a tool and did not.", "tool_choice", JSON)
        if self._name is not None:
            return []
        self._name = name
        return [self._piece(msgspec.json.encode(arguments).decode())]

    def _piece(self, arguments: str) -> dict[str, Any]:
        if self._begun:
            return {"index": 0, "function": {"arguments": arguments}}
        self._begun = True
        function = {"name": self._name, "arguments": arguments}
        return {"index": 0, "id": new_call_id(), "type": "function", "function": function}


def _functions(tools: Any) -> dict[str, dict[str, Any]]:
    """The functions among tools, by name."""
    given = (
        [tool.get("function") for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    )
    return {str(each["name"]): each for each in given if isinstance(each, dict) and "name" in each}


def _parameters(tool: Mapping[str, Any]) -> dict[str, Any]:
    schema = tool.get("parameters")
    return schema if isinstance(schema, dict) and schema else ANY_OBJECT


def _moved(schema: Any, to: str) -> Any:
    """A schema whose references into itself hold where it is moved to."""
    if isinstance(schema, list):
        return [_moved(each, to) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: to + value[1:]
        if key == "$ref" and isinstance(value, str) and value.startswith("#")
        else _moved(value, to)
        for key, value in schema.items()
    }
