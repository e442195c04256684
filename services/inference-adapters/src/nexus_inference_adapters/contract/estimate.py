"""A prompt's tokens guessed from its text alone: near enough for people, never for a limit.

By the character's length in UTF-8: ASCII is four characters a token; two bytes (accents, Greek, Cyrillic, Hebrew,
Arabic) are two; three bytes (Chinese, Japanese, Korean, Indic, Thai) one; four bytes (emoji, rare scripts) half of one.
Token ids count as themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from nexus_inference_adapters.vocabulary import CHAT, COMPLETION

__all__ = ["estimate", "tokens_of"]

PER_MESSAGE = 4
"""Role and marks around a message."""
ANSWER_BEGINS = 3
"""What a template puts where the answer is to begin."""
PER_MEDIUM = 500
"""An image or a recording: engines differ widely."""

LEADS = ((range(0xC0, 0xE0), 2), (range(0xE0, 0xF0), 4), (range(0xF0, 0x100), 8))
"""First bytes of UTF-8 characters of two, three and four bytes, and the quarters of a token each is worth."""
TABLE = tuple((bytes(leads), quarters) for leads, quarters in LEADS)
SPOKEN = ("text", "refusal")


def tokens_of(text: str) -> int:
    """Tokens of one text, rounded up; 0 for none."""
    quarters = len(text)
    if not text.isascii():
        raw = text.encode("utf-8", "surrogatepass")
        for leads, worth in TABLE:
            quarters += (worth - 1) * (len(raw) - len(raw.translate(None, leads)))
    return -(-quarters // 4)


def estimate(operation: int, body: dict[str, Any], count: Callable[[str], int] = tokens_of) -> int:
    """Tokens of a request's prompt, of all prompts together. Takes any JSON object, as nobody has checked it yet."""
    if operation != CHAT:
        return _given(body.get("prompt" if operation == COMPLETION else "input"), count)
    messages = _objects(body.get("messages"))
    texts = [text for message in messages for text in _texts(message)]
    if tools := body.get("tools"):
        texts.append(_json(tools))
    media = sum(map(_media, messages))
    return sum(map(count, texts)) + PER_MEDIUM * media + PER_MESSAGE * len(messages) + ANSWER_BEGINS


def _given(prompt: Any, count: Callable[[str], int]) -> int:
    if isinstance(prompt, str):
        return count(prompt)
    if isinstance(prompt, list):
        return sum(1 if isinstance(each, int) else _given(each, count) for each in prompt)
    return 0


def _texts(message: dict[str, Any]) -> Iterator[str]:
    content = message.get("content")
    if isinstance(content, str):
        yield content
    for part in _objects(content):
        yield from (part[key] for key in SPOKEN if isinstance(part.get(key), str))
    if calls := message.get("tool_calls"):
        yield _json(calls)


def _media(message: dict[str, Any]) -> int:
    return sum(part.get("type") not in SPOKEN for part in _objects(message.get("content")))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
