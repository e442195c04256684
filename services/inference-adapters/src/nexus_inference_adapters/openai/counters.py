"""How engines count the tokens of a prompt themselves. What they would count wrongly is left to an estimate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nexus_operations import Form, is_text, spec_of

from nexus_inference_adapters.contract import Http

__all__ = ["Counter", "by_llama_cpp", "by_vllm"]

Counter = Callable[[Http, int, dict[str, Any]], Awaitable[int | None]]
"""From operation and body, as it would be sent, to the tokens of its prompt; None = this engine cannot count them."""

VLLM_CHAT = ("messages", "tools", "add_generation_prompt", "continue_final_message", "chat_template_kwargs")
VLLM_UNTOLD = ("documents", "reasoning_effort", "truncate_prompt_tokens")
"""What shapes the prompt of a request but is not taken by /tokenize."""


async def by_llama_cpp(http: Http, operation: int, body: dict[str, Any]) -> int | None:
    """The template first, then the tokens of what it makes, with the special ones read as such."""
    prompt = (
        await _templated(http, body)
        if spec_of(operation).form is Form.MESSAGE
        else _sole_prompt(operation, body)
    )
    if not isinstance(prompt, str):
        return None if prompt is None else len(prompt)
    asked = {"model": body.get("model"), "content": prompt, "add_special": True, "parse_special": True}
    tokens = (await http.look("POST", "/tokenize", asked)).dig("tokens")
    return len(tokens) if isinstance(tokens, list) else None


async def _templated(http: Http, body: dict[str, Any]) -> str | None:
    if _has_media(body):
        return None
    prompt = (await http.look("POST", "/apply-template", body)).dig("prompt")
    return prompt if isinstance(prompt, str) else None


async def by_vllm(http: Http, operation: int, body: dict[str, Any]) -> int | None:
    """Whether tools stay in the prompt beside tool_choice none depends on how the server was started."""
    if any(body.get(name) is not None for name in VLLM_UNTOLD):
        return None
    if spec_of(operation).form is Form.MESSAGE:
        if _has_media(body) or (body.get("tools") and body.get("tool_choice") == "none"):
            return None
        asked = {name: body[name] for name in VLLM_CHAT if body.get(name) is not None}
    else:
        prompt = _sole_prompt(operation, body)
        if not isinstance(prompt, str):
            return None if prompt is None else len(prompt)
        asked = {"prompt": prompt}
    count = (await http.look("POST", "/tokenize", {"model": body.get("model"), **asked})).dig("count")
    return count if isinstance(count, int) and count >= 0 else None


def _sole_prompt(operation: int, body: dict[str, Any]) -> str | list[int] | None:
    """The text or the token ids; None when there are several prompts, which would be a question each."""
    spec = spec_of(operation)
    if spec.form is Form.OBJECT:
        return None  # how the engine puts it together is known to nobody else
    given = body.get(spec.content)
    if isinstance(given, list) and len(given) == 1 and not isinstance(given[0], int):
        given = given[0]
    if isinstance(given, list) and not all(isinstance(each, int) for each in given):
        return None
    return given if isinstance(given, str | list) else None


def _has_media(body: dict[str, Any]) -> bool:
    """Engines expand an image or a recording to tokens only when they run it."""
    messages = body.get("messages")
    messages = messages if isinstance(messages, list) else []
    contents = [message.get("content") for message in messages if isinstance(message, dict)]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return not all(map(is_text, parts))
