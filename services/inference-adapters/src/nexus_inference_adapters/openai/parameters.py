"""Which parameters a backend cannot honour, as data: what would be dropped in silence is refused instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nexus_mesh.core import MeshError, Reason
from nexus_operations import spec_of

__all__ = ["IGNORED", "check", "max_tokens", "set_parameters", "wants_tools"]

Harmless = Callable[[Any], bool]
HARMLESS: dict[str, Harmless] = {
    "n": lambda value: value == 1,
    "best_of": lambda value: value == 1,
    "echo": lambda value: value is False,
    "logit_bias": lambda value: value == {},
    "logprobs": lambda value: value is False,
    "top_logprobs": lambda value: value == 0,
    "tool_choice": lambda value: value in ("auto", "none"),
    "functions": lambda value: value == [],
    "function_call": lambda value: value in ("auto", "none"),
    "response_format": lambda value: isinstance(value, dict) and value.get("type") == "text",
    "suffix": lambda value: value == "",
    "modalities": lambda value: value == ["text"],
    "audio": lambda _: False,
    "web_search_options": lambda _: False,
    "prediction": lambda _: True,
}


IGNORED: dict[str, frozenset[str]] = {
    "llama.cpp": frozenset({"functions", "function_call", "audio", "web_search_options"}),
    "vllm": frozenset({"functions", "function_call", "audio", "web_search_options", "best_of"}),
}
"""Of OpenAI's parameters those that an engine passes over without a word."""


def set_parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that say something: null means absent."""
    return {key: value for key, value in body.items() if value is not None}


def check(body: Mapping[str, Any], unsupported: frozenset[str], backend: str) -> None:
    """Raises UNSUPPORTED_PARAMETER for the first parameter the backend would ignore."""
    for name in sorted(unsupported & body.keys()):
        if not HARMLESS[name](body[name]):
            raise MeshError(
                Reason.UNSUPPORTED_PARAMETER,
                f"{backend} cannot honour {name!r} with this value; leave it out or choose another backend.",
                metadata={"param": name},
            )


def wants_tools(body: Mapping[str, Any]) -> bool:
    return bool(body.get("tools")) and body.get("tool_choice") != "none"


def max_tokens(operation: int, body: Mapping[str, Any]) -> int | None:
    """The limit on the answer, by any of its names; None = none."""
    return spec_of(operation).most(body)
