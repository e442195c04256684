"""How bodies are read, in all the ways that clients spell a prompt. They take any JSON, and copy no text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec

from nexus_operations.spec import Body, Prompt

__all__ = [
    "HEAD", "MESSAGE", "begins_chat", "begins_with", "choices_of", "is_text", "limit_of", "nothing_made", "prompts_in",
    "read_chat", "read_texts", "says_delta", "says_text", "whole_is_content",
]  # fmt: skip

MESSAGE, TURN = 4, 3
"""Tokens: role and marks around a message, and what a template puts where the answer is to begin."""
HEAD = 2048
"""Characters. What follows does not tell conversations apart better."""
MEDIA = frozenset({
    "image", "image_url", "input_image", "audio", "audio_url", "input_audio", "video", "video_url", "input_video",
    "file", "input_file",
})  # fmt: skip
"""Types of parts, and keys of what is in them, that are no text."""
NAMES = frozenset({"role", "type", "id", "tool_call_id", "cache_control"})
"""Keys that hold words of the API."""
UNREAD = NAMES | MEDIA
CALLS = frozenset({"tool_calls", "function_call"})
OFFERED = ("tools", "functions")
SPOKEN = frozenset({"text", "refusal"})
encode = msgspec.json.Encoder().encode


def read_chat(body: Body) -> Prompt:
    """Every text of the messages, whatever it is called; calls and tools as the JSON that templates make of them."""
    found = Prompt([])
    media = 0
    messages = _objects(body.get("messages"))
    for message in messages:
        for key, value in message.items():
            if key in CALLS:
                if value:
                    found.texts.append(_json(value))
            elif key not in UNREAD:
                media += _gather(value, found.texts)
    found.texts.extend(_json(body[name]) for name in OFFERED if body.get(name))
    return Prompt(found.texts, media=media, marks=MESSAGE * len(messages) + TURN)


def read_texts(*keys: str) -> Callable[[Body], Prompt]:
    """Of a text, several texts, token ids, or several lists of token ids under each key."""

    def read(body: Body) -> Prompt:
        texts: list[str] = []
        ids = sum(_given(body.get(key), texts) for key in keys)
        return Prompt(texts, ids, several=any(prompts_in(body.get(key)) > 1 for key in keys))

    return read


def begins_chat(body: Body) -> str:
    """The texts up to the first user's message, and that one."""
    head, messages = "", body.get("messages")
    for message in cast("list[Any]", messages) if isinstance(messages, list) else ():
        if not isinstance(message, dict):
            continue
        said = cast("Body", message)
        content = said.get("content")
        if isinstance(content, str):
            head += content[:HEAD]
        else:
            head += "".join(
                text[:HEAD] for part in _objects(content) if isinstance(text := part.get("text"), str)
            )
        if said.get("role") == "user" or len(head) >= HEAD:
            break
    return head


def begins_with(key: str) -> Callable[[Body], str]:
    """The text under a key, if there is one."""

    def head(body: Body) -> str:
        value = body.get(key)
        return value if isinstance(value, str) else ""

    return head


def limit_of(*names: str, unsaid: int | None) -> Callable[[Body], int | None]:
    """The first that is said of what a limit is called. `unsaid`: what is meant when none is."""

    def most(body: Body) -> int | None:
        said = (body[name] for name in names if body.get(name) is not None)
        return next(said, unsaid)

    return most


def nothing_made(_: Body) -> int:
    """Of work whose answer is not made of tokens."""
    return 0


def choices_of(key: str = "") -> Callable[[Body], int]:
    """`n` of them, for every prompt under the key."""

    def expected(body: Body) -> int:
        n = body.get("n")
        choices = n if isinstance(n, int) and n > 0 else 1
        return choices * prompts_in(body.get(key)) if key else choices

    return expected


def prompts_in(given: Any) -> int:
    """How many prompts or inputs there are: a list of token ids is one."""
    if isinstance(given, list) and given and not isinstance(given[0], int):
        return len(cast("list[Any]", given))
    return 1


def is_text(part: Any) -> bool:
    """Whether a part of a content is text, and nothing but."""
    return isinstance(part, dict) and cast("Body", part).get("type") in SPOKEN


def says_delta(choice: Body) -> bool:
    """A role alone says nothing."""
    if choice.get("finish_reason"):
        return True
    delta: Body = choice.get("delta") or {}
    return any(value for key, value in delta.items() if key != "role")


def says_text(choice: Body) -> bool:
    """An empty text says nothing."""
    return bool(choice.get("finish_reason") or choice.get("text"))


def whole_is_content(_: Body) -> bool:
    """Whatever comes in one piece is an answer."""
    return True


def _gather(value: Any, texts: list[str]) -> int:
    """Adds every text inside a value; how many media there are."""
    if isinstance(value, str):
        texts.append(value)
        return 0
    if isinstance(value, list):
        return sum(_gather(each, texts) for each in cast("list[Any]", value))
    if not isinstance(value, dict):
        return 0
    part = cast("dict[str, Any]", value)
    media = int(part.get("type") in MEDIA or not MEDIA.isdisjoint(part))
    return media + sum(_gather(each, texts) for key, each in part.items() if key not in UNREAD)


def _given(value: Any, texts: list[str]) -> int:
    """Adds every text of prompts; how many token ids there are."""
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, list) and value:
        given = cast("list[Any]", value)
        return len(given) if isinstance(given[0], int) else sum(_given(each, texts) for each in given)
    elif isinstance(value, dict):
        _gather(value, texts)
    return 0


def _objects(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        return []
    return [cast("dict[str, Any]", each) for each in cast("list[Any]", value) if isinstance(each, dict)]


def _json(value: Any) -> str:
    return encode(value).decode()
