"""Whether and how hard a model is to think, in all the words that clients have for it, and in those of an engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["SWITCHES", "in_template", "wish"]

SWITCHES = frozenset({"think", "enable_thinking", "thinking", "reasoning", "chat_template_kwargs"})
"""Ollama's, Qwen's, DeepSeek's and Anthropic's, OpenRouter's, and the variables of templates themselves."""
SPOKEN = SWITCHES - {"chat_template_kwargs"}
TEMPLATED = frozenset({"llama.cpp", "vllm", "mlx"})
"""Engines that read the switch in no place but the model's template."""
BUDGETS = {"llama.cpp": "thinking_budget_tokens", "vllm": "thinking_token_budget"}
KINDS = {"disabled": False, "enabled": True, "adaptive": True}


def wish(body: Mapping[str, Any]) -> bool | str | None:
    """False, True, or how hard; None where nothing is said. The most direct word counts."""
    template = body.get("chat_template_kwargs")
    template = template if isinstance(template, dict) else {}
    said = (
        body.get("think"),
        template.get("enable_thinking"),
        template.get("thinking"),
        body.get("enable_thinking"),
        _object(body.get("thinking")),
        _object(body.get("reasoning")),
        template.get("reasoning_effort"),
        body.get("reasoning_effort"),
    )
    return next((_plain(each) for each in said if isinstance(each, bool | str)), None)


def in_template(engine: str, body: dict[str, Any]) -> dict[str, Any]:
    """The body with the switch where the engine's template looks for it."""
    if engine not in TEMPLATED or (engine == "vllm" and SPOKEN.isdisjoint(body)):
        return body  # vLLM puts `reasoning_effort` there itself
    sent = {name: value for name, value in body.items() if name not in SPOKEN}
    wanted = wish(body)
    if isinstance(wanted, str):
        sent.setdefault("reasoning_effort", wanted)
    if (budget := _budget(body)) is not None and engine in BUDGETS:
        sent.setdefault(BUDGETS[engine], budget)
    variables = _variables(wanted, effort=engine != "vllm") | (body.get("chat_template_kwargs") or {})
    return {**sent, "chat_template_kwargs": variables} if variables else sent


def _variables(wanted: bool | str | None, *, effort: bool) -> dict[str, Any]:
    """As templates call them: models disagree about the name of the switch, and pass over what they do not know."""
    if isinstance(wanted, bool):
        return {"enable_thinking": wanted, "thinking": wanted}
    return {"reasoning_effort": wanted} if wanted is not None and effort else {}


def _budget(body: Mapping[str, Any]) -> int | None:
    said = body.get("thinking")
    tokens = said.get("budget_tokens") if isinstance(said, dict) else None
    return tokens if type(tokens) is int else None


def _object(said: Any) -> Any:
    if not isinstance(said, dict):
        return said
    if isinstance(said.get("effort"), str):
        return said["effort"]
    return said["enabled"] if isinstance(said.get("enabled"), bool) else KINDS.get(str(said.get("type")))


def _plain(said: bool | str) -> bool | str:
    return False if said == "none" else said
