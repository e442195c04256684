"""A whole answer as the one chunk of a stream: from engines that do not stream, whatever they are asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from nexus_operations import Form, spec_of

from nexus_inference_adapters.contract import Completed, Event, Finish

__all__ = ["at_once"]


def at_once(completed: Completed, operation: int) -> Iterator[Event]:
    """The events of a stream that says the answer."""
    answer = msgspec.json.decode(completed.body)
    choices = [
        _said(choice) if spec_of(operation).form is Form.MESSAGE else choice for choice in answer["choices"]
    ]
    yield [msgspec.json.encode({"choices": choices}).decode()]
    yield Finish(completed.usage)


def _said(choice: dict[str, Any]) -> dict[str, Any]:
    delta = {key: value for key, value in choice.pop("message").items() if value is not None}
    if calls := delta.get("tool_calls"):
        delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls)]
    return {key: value for key, value in choice.items() if value is not None} | {"delta": delta}
