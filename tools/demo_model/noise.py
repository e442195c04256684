"""Makes clean questions look typed: casing, punctuation, polite openings, stray words and typos."""

from __future__ import annotations

from random import Random

# fmt: off
_OPENINGS = (
    "please ", "hi, ", "hello, ", "hey ", "hi! ", "so ", "um ", "ok, ", "ok so ", "and ", "well, ", "sorry, ",
    "excuse me, ", "quick question: ", "question: ", "nexus, ", "hey nexus, ", "i wonder, ", "hello! ",
    "thanks. ", "now ", "also ", "but ", "tell me, ", "can you tell me ", "i would like to know ",
    "do you know ", "hi there, ", "i was wondering ", "my question is: ",
)
_CLOSINGS = (
    " please", " thanks", " thank you", " now", " then", " again", " exactly", " for me", " here", " pls",
)
_STRAYS = (
    "actually", "really", "just", "maybe", "also", "exactly", "then", "please", "the", "a", "my", "easily",
)
# fmt: on
_ENDS = ("?", "?", "?", "", "", "", ".", "!", "??", " ?", "...", "?!")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def dirty(text: str, random: Random) -> str:
    """A question as somebody might type it; code and several lines are left alone."""
    if "\n" in text or "`" in text:
        return text
    if random.random() < 0.1:
        text = random.choice(_OPENINGS) + text
    if random.random() < 0.05:
        text += random.choice(_CLOSINGS)
    if random.random() < 0.05:
        text = _stray(text, random)
    if random.random() < 0.1:
        text = text.replace("'", "")
    if random.random() < 0.15:
        for _ in range(random.choice((1, 1, 2))):
            text = _typo(text, random)
    return _case(text, random) + random.choice(_ENDS)


def _stray(text: str, random: Random) -> str:
    words = text.split(" ")
    at = random.randint(0, len(words))
    return " ".join([*words[:at], random.choice(_STRAYS), *words[at:]])


def _typo(text: str, random: Random) -> str:
    if len(text) < 4:
        return text
    at = random.randrange(1, len(text) - 1)
    before, here, after = text[:at], text[at], text[at + 1 :]
    return random.choice(
        (
            before + after,
            before + here + here + after,
            before + after[:1] + here + after[1:],
            before + random.choice(_LETTERS) + after,
        )
    )


def _case(text: str, random: Random) -> str:
    text = text.replace("nexus", random.choice(("nexus", "nexus", "NEXUS", "NEXUS", "Nexus")))
    text = text.replace("openai", random.choice(("openai", "OpenAI")))
    if random.random() < 0.5:
        text = text.replace(" i ", " I ").replace("api", "API")
    dice = random.random()
    if dice < 0.05:
        return text.upper()
    if dice < 0.08:
        return text.title()
    return text[:1].upper() + text[1:] if dice < 0.6 else text
