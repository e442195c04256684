"""What of a request an engine is sent: what it would pass over in silence is refused by name instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nexus_mesh.core import MeshError, Reason
from nexus_operations import spec_of

from nexus_inference_adapters.openai.forwarded import (
    ENGINES,
    LEFT_OUT,
    NEUTRAL,
    OLLAMA_OPTIONS,
    OLLAMA_OWN,
    OPENAI,
    OTHER_NAMES,
    OTHERS,
    PARTS_OF,
    PLAIN,
)
from nexus_inference_adapters.openai.thinking import in_template

__all__ = [
    "IGNORED",
    "calls_one",
    "check",
    "check_forwarded",
    "max_tokens",
    "set_parameters",
    "wants_tools",
]


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


def check_forwarded(
    engine: str, body: Mapping[str, Any], granted: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """What of a body is for the engine. Raises UNSUPPORTED_PARAMETER for the first parameter it would pass over.

    `granted`: what is sent though it is on no list. Of Ollama's own that is `keep_alive` and options.
    """
    if body.keys() <= PLAIN:
        return dict(body)
    own = granted & OLLAMA_OWN if engine == "ollama" else granted - LEFT_OUT
    known = OPENAI | ENGINES.get(engine, OTHERS) | own
    given = _renamed(body, OTHER_NAMES.get(engine, {}))
    for name in sorted(given.keys() - known - LEFT_OUT):
        if not _says_nothing(name, given):
            raise _refused(name)
    if not _is_flat(given.get("chat_template_kwargs")):
        raise _refused("chat_template_kwargs")
    sent = {name: value for name, value in given.items() if name in known and not _is_off(name, given)}
    if engine == "ollama" and isinstance(sent.get("options"), dict):
        sent["options"] = _options(sent["options"], granted)
    return in_template(engine, sent)


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


def calls_one(body: Mapping[str, Any]) -> bool:
    """Whether a turn may call one tool at most: few engines can be told so, and calls after the first do not go on."""
    return body.get("parallel_tool_calls") is False


def wants_tools(body: Mapping[str, Any]) -> bool:
    return bool(body.get("tools")) and body.get("tool_choice") != "none"


def max_tokens(operation: int, body: Mapping[str, Any]) -> int | None:
    """The limit on the answer, by any of its names; None = none."""
    return spec_of(operation).most(body)


def _renamed(body: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    given = dict(body)
    for name, own in names.items():
        value = given.pop(name, None)
        if value is not None and given.get(own) is None:
            given[own] = value
    return given


def _options(given: Mapping[str, Any], granted: frozenset[str]) -> dict[str, Any]:
    known = OLLAMA_OPTIONS | {
        name.removeprefix("options.") for name in granted if name.startswith("options.")
    }
    for name in sorted(given.keys() - known):
        if not _says_nothing(name, given):
            raise _refused(f"options.{name}")
    return {name: value for name, value in given.items() if name in known}


def _says_nothing(name: str, given: Mapping[str, Any]) -> bool:
    value = given[name]
    if value is None or value in NEUTRAL.get(name, ()):
        return True
    switch = PARTS_OF.get(name)
    return switch is not None and (switch not in given or _says_nothing(switch, given))


def _is_off(name: str, given: Mapping[str, Any]) -> bool:
    """Whether it says how of what is switched off: versions disagree about values that nobody needs."""
    switch = PARTS_OF.get(name)
    return switch is not None and switch in given and _says_nothing(switch, given)


def _is_flat(given: Any) -> bool:
    """Switches of a template are words and numbers; what is more could be more than a switch."""
    values = given.values() if isinstance(given, dict) else ()
    return given is None or (
        isinstance(given, dict) and not any(isinstance(each, dict | list) for each in values)
    )


def _refused(name: str) -> MeshError:
    return MeshError(
        Reason.UNSUPPORTED_PARAMETER,
        f"{name[:64]!r} is no parameter that a request may send to this engine; leave it out.",
        metadata={"param": name[:64]},
    )
