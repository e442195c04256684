"""POST /v1/completions (legacy): what its body may say and what a model must be able to do for it."""

from __future__ import annotations

from typing import Any

from nexus.types.v1 import model_pb2

from nexus_gateway.validation.params import Rule, boolean, check_object, drop_nothings, integer, text
from nexus_gateway.validation.refusals import bad_value
from nexus_gateway.validation.sampling import (
    MAX_ALTERNATIVES,
    MAX_CHOICES,
    MAX_TOKENS,
    SAMPLING,
    SAYS_NOTHING,
)
from nexus_gateway.validation.tokens import check_texts_or_tokens

MAX_PROMPTS = 128


RULES: dict[str, Rule] = {
    **SAMPLING,
    "prompt": lambda _value, _path: None,  # counted and checked in one go
    "suffix": text,
    "echo": boolean,
    # Without it OpenAI's 16 would be meant: -1, no limit, has to be said to the engine.
    "max_tokens": integer(-1, MAX_TOKENS),
    "logprobs": integer(0, MAX_ALTERNATIVES),
    "best_of": integer(1, 20),
}


def check_completion(body: dict[str, Any]) -> tuple[dict[int, str], int]:
    """Capabilities needed and choices asked for: every prompt gives `n` of them."""
    check_object(body, RULES, ("model", "prompt"))
    drop_nothings(body, SAYS_NOTHING)
    if body.get("max_tokens") == 0 and not body.get("echo"):
        raise bad_value("max_tokens", "be at least 1 unless the prompt is echoed")
    needs: dict[int, str] = {}
    prompts, tokens = check_texts_or_tokens(body["prompt"], "prompt", MAX_PROMPTS)
    if tokens:
        needs[model_pb2.CAPABILITY_TOKEN_INPUT] = "prompt"
    if "logprobs" in body:
        needs[model_pb2.CAPABILITY_LOGPROBS] = "logprobs"
    choices = prompts * body.get("n", 1)
    if choices > MAX_CHOICES:
        raise bad_value("n", f"give at most {MAX_CHOICES} choices over all prompts")
    if body.get("best_of", 1) < body.get("n", 1) and "best_of" in body:
        raise bad_value("best_of", "be at least 'n'")
    if choices > 1 or body.get("best_of", 1) > 1:
        needs[model_pb2.CAPABILITY_CHOICES] = (
            "prompt" if prompts > 1 else "n" if body.get("n", 1) > 1 else "best_of"
        )
    return needs, choices
