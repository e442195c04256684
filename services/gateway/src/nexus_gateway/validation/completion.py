"""POST /v1/completions (legacy): what its body may say and what a model must be able to do for it."""

from __future__ import annotations

from typing import Any

from nexus.types.v1 import model_pb2

from nexus_gateway.validation.params import Rule, boolean, check_object, integer, text
from nexus_gateway.validation.refusals import bad_value
from nexus_gateway.validation.sampling import MAX_CHOICES, SAMPLING
from nexus_gateway.validation.tokens import check_texts_or_tokens

MAX_PROMPTS = 128


def _prompt(value: Any, path: str) -> None:
    check_texts_or_tokens(value, path, MAX_PROMPTS)


RULES: dict[str, Rule] = {
    **SAMPLING,
    "prompt": _prompt,
    "suffix": text,
    "echo": boolean,
    "logprobs": integer(0, 5),
    "best_of": integer(1, 20),
}


def check_completion(body: dict[str, Any]) -> tuple[set[int], int]:
    """Capabilities needed and choices asked for: every prompt gives `n` of them."""
    check_object(body, RULES, ("model", "prompt"))
    needs: set[int] = set()
    prompts, tokens = check_texts_or_tokens(body["prompt"], "prompt", MAX_PROMPTS)
    if tokens:
        needs.add(model_pb2.CAPABILITY_TOKEN_INPUT)
    if "logprobs" in body:
        needs.add(model_pb2.CAPABILITY_LOGPROBS)
    choices = prompts * body.get("n", 1)
    if choices > MAX_CHOICES:
        raise bad_value("n", f"give at most {MAX_CHOICES} choices over all prompts")
    if body.get("best_of", 1) < body.get("n", 1) and "best_of" in body:
        raise bad_value("best_of", "be at least 'n'")
    if choices > 1 or body.get("best_of", 1) > 1:
        needs.add(model_pb2.CAPABILITY_CHOICES)
    return needs, choices
