"""A prompt's tokens guessed from its text alone: near enough for people and prices, never for a limit.

By the character's length in UTF-8: ASCII is four characters a token; two bytes (accents, Greek, Cyrillic, Hebrew,
Arabic) are two; three bytes (Chinese, Japanese, Korean, Indic, Thai) one; four bytes (emoji, rare scripts) half of one.
Token ids count as themselves. Beside three tokenizers in use (cl100k, Tekken, an older Claude's) on 21 texts of 17
languages, code and JSON that is off by a factor of 1.28 on average and 2.3 at worst; a quarter of the bytes by 1.36
and 3.1, for it makes too little of Asian scripts.
"""

from __future__ import annotations

__all__ = ["SAMPLED", "quarters_of", "sample", "tokens_of"]

PIECE, PIECES = 2048, 16
SAMPLED = PIECE * PIECES
"""Characters of a text that are looked at, at most: more would keep all others waiting."""
THREE, FOUR = bytes(range(0xE0, 0x100)), bytes(range(0xF0, 0x100))
"""First bytes of UTF-8 characters of three bytes and more, and of four."""


def tokens_of(text: str) -> int:
    """Tokens of one text, rounded up; 0 for none. Of a very long one that is not ASCII samples are looked at."""
    return -(-quarters_of(text) // 4)


def quarters_of(text: str) -> int:
    """The same in quarters of a token, of which several texts may be added up before they are rounded."""
    if text.isascii():
        return len(text)
    seen = sample(text)
    raw = seen.encode("utf-8", "surrogatepass")
    longer = len(raw) - len(raw.translate(None, THREE))
    quarters = len(raw) + longer + (3 * (len(raw) - len(raw.translate(None, FOUR))) if longer else 0)
    return quarters if seen is text else quarters * len(text) // len(seen)


def sample(text: str) -> str:
    """All of it, or pieces from everywhere."""
    if len(text) <= SAMPLED:
        return text
    step = len(text) // PIECES
    return "".join(text[at : at + PIECE] for at in range(0, step * PIECES, step))
