"""Parameters that chat and legacy completions share."""

from __future__ import annotations

from typing import Any

from nexus_gateway.validation.params import (
    Rule,
    boolean,
    integer,
    labels,
    mapping,
    number,
    string,
    text_or_texts,
    token_weights,
)
from nexus_gateway.validation.refusals import bad_value

MAX_TOKENS = 2**31 - 1
MAX_INT64 = 2**63 - 1
MAX_CHOICES = 128
MAX_STOPS = 1_000
MAX_ALTERNATIVES = 10_000
MAX_STRENGTH = 1_000

SAYS_NOTHING: dict[str, tuple[Any, ...]] = {"stop": ([],), "logit_bias": ({},)}
"""Values that ask for what comes without the parameter."""


def check_stream_options(value: Any, path: str) -> None:
    mapping(value, path)
    for name in ("include_usage", "include_obfuscation"):
        if value.get(name) is not None:
            boolean(value[name], f"{path}.{name}")


def token_limit(value: Any, path: str) -> None:
    """At least one token, or the -1 by which local engines mean no limit."""
    if value != -1 or type(value) is not int:
        _tokens(value, path)


_tokens = integer(1, MAX_TOKENS)

# Bounds that protect us and whoever parses the numbers. What an engine can do with a value within them is its word:
# OpenAI's own limits are its own to tell.
SAMPLING: dict[str, Rule] = {
    "model": string(65_536),
    "stream": boolean,
    "stream_options": check_stream_options,
    "max_tokens": token_limit,
    "temperature": number(0, MAX_STRENGTH),
    "top_p": number(0, 1),
    "n": integer(1, MAX_CHOICES),
    "stop": text_or_texts(MAX_STOPS, least=0),
    "seed": integer(-MAX_INT64 - 1, MAX_INT64),
    "frequency_penalty": number(-MAX_STRENGTH, MAX_STRENGTH),
    "presence_penalty": number(-MAX_STRENGTH, MAX_STRENGTH),
    "logit_bias": token_weights,
    "metadata": labels,
    "user": string(512),
    "safety_identifier": string(512),
    "prompt_cache_key": string(512),
}


def streaming(body: dict[str, Any]) -> tuple[bool, bool]:
    """Whether to stream, and whether to end the stream with usage."""
    stream = body.get("stream", False)
    options = body.get("stream_options")
    if options is not None and not stream:
        raise bad_value("stream_options", "only be sent with 'stream': true")
    return stream, bool(options and options.get("include_usage"))
