"""Which requests share the head of their prompt: a backend that has read it once answers the next one sooner."""

from __future__ import annotations

from zlib import crc32

from nexus_mesh.core import JsonObject

__all__ = ["affinity"]

LEAST, MOST = 512, 2048
"""Characters. What is shorter is read again in no time; what follows does not tell conversations apart better."""


def affinity(body: JsonObject) -> int:
    """Equal for requests whose prompts begin alike, as in the turns of one conversation; 0 for short prompts."""
    messages = body.get("messages")
    text = _head(messages) if messages else body.get("prompt")
    if not isinstance(text, str) or len(text) < LEAST:
        return 0
    return crc32(text[:MOST].encode("utf-8", "surrogatepass")) or 1


def _head(messages: list[JsonObject]) -> str:
    """The texts up to the first user's message, and that one."""
    head = ""
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            head += content
        elif isinstance(content, list):
            head += "".join(part.get("text") or "" for part in content)
        if message.get("role") == "user" or len(head) >= MOST:
            break
    return head
