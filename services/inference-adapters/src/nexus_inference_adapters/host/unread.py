"""Whether an engine read a prompt whole, by its own count of it. A very long one is judged by samples."""

from __future__ import annotations

import re
from typing import Any

from nexus_operations import SAMPLED, Form, estimate, sample, spec_of, tokens_of

__all__ = ["SAMPLED", "unread"]

TOKENS = 1000
SHARE = 4
"""A prompt of which so many tokens, and more than three of four, were not read by the engine's own count was cut."""
RUN = re.compile(r"(.)\1{7,}", re.DOTALL)


def unread(operation: int, body: dict[str, Any], read: int) -> int:
    """About how many tokens the prompt has at least, when an engine that read so many cut it; 0 = it did not.

    At least: without what templates may leave out, and long runs of one character, which are few tokens.
    """
    texts: list[str] = []

    def gather(text: str) -> int:
        texts.append(text)
        return 0

    others = estimate(operation, _surely_read(operation, body), gather)
    if not _is_cut(2 * sum(map(len, texts)) + others, read):
        return 0  # no character is more than two tokens
    whole = "".join(texts)
    seen = sample(whole)
    for text in (seen, RUN.sub(r"\1", seen)):
        about = tokens_of(text) * len(whole) // max(1, len(seen)) + others
        if not _is_cut(about, read):
            return 0
    return about


def _is_cut(about: int, read: int) -> bool:
    return about > TOKENS and about - read > TOKENS and read * SHARE < about


def _surely_read(operation: int, body: dict[str, Any]) -> dict[str, Any]:
    messages = body.get("messages")
    if spec_of(operation).form is not Form.MESSAGE or not isinstance(messages, list):
        return body
    return {"messages": [_spoken(each) for each in messages if _counts(each)]}


def _counts(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") in ("system", "developer", "user", "tool")


def _spoken(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list):
        content = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
    return {"content": content}
