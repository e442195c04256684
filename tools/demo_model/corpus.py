"""Makes the conversations that the demo model learns from, without end and from one seed."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tools.demo_model import noise, patterns

HERE = Path(__file__).parent
_MORE = (
    "((please |can you |)(tell me|say|explain) more|more( please| details|)|go on|continue|and then|"
    "what else|elaborate|((can you |could you |)(show|give) me |)(an |one |)example( please|)|"
    "for example|like what|show me|how exactly)"
)
_REPEAT = (
    "((can you |please |)(repeat|say) that( again|)|again|once more|repeat( please|)|what|pardon|sorry|"
    "come again|what did you say|i did not get that)"
)
_SYSTEMS = (
    "You are a helpful assistant.",
    "You are a helpful assistant. Answer briefly.",
    "You are nexus-demo.",
    "You are a friendly chatbot.",
    "You are an AI assistant that helps people find information.",
    "Be concise.",
    "Answer in one sentence.",
    "You are a helpful, respectful and honest assistant.",
    "You are a test assistant.",
)
_JSON_ASKS = (" Answer in JSON.", " Reply with JSON only.", " as json", " Respond with a JSON object.")
_JSON_KEYS = ("response", "reply", "text", "message", "result", "content", "output", "name")
_TURNS = (1, 1, 1, 1, 1, 1, 1, 2, 2, 3)
_LONG_TURNS = (1, 1, 8)
CORE_SHARE = 0.5
RAW_SHARE = 0.04
JSON_SHARE = 0.04


@dataclass(frozen=True)
class Piece:
    """A stretch of a conversation; the model learns to write it only when `learned`."""

    text: str
    learned: bool = False


@dataclass(frozen=True)
class Intent:
    name: str
    core: list[str]
    asks: list[str]
    answers: list[str]
    more: str = ""


class Corpus:
    """Endless conversations: `conversation()` gives the pieces of the next, in the model's chat format."""

    def __init__(self, seed: int) -> None:
        known = _read("intents.toml")
        unknown = _read("unknown.toml")
        self.slots: patterns.Slots = unknown["slots"]
        self.known = [Intent(**entry) for entry in known["intent"]]
        self.unknown = [Intent(**entry) for entry in unknown["intent"]]
        self._stranger = next(intent for intent in self.unknown if intent.name == "unknown_other")
        self._random = Random(seed)

    def conversation(self, long: bool = False) -> list[Piece]:
        """One to four turns, sometimes after a system message; `long` ones fill most of the context."""
        if not long and self._random.random() < RAW_SHARE:
            return self._raw()
        pieces = self._system(long)
        before: tuple[Intent, str] | None = None
        for _ in range(self._random.choice(_LONG_TURNS if long else _TURNS)):
            intent, ask, answer = self._turn(before)
            if long and self._random.random() < 0.3:
                ask = patterns.babble(self.slots, self._random, self._random.randint(40, 200))
                intent, answer = self._stranger, self._stranger.answers[0]
            pieces += self._exchanged(ask, answer)
            before = (intent, answer)
        return pieces

    def exchange(self) -> list[Piece]:
        """One question and its answer, nothing else."""
        _, ask, answer = self._turn(None)
        return self._exchanged(ask, answer)

    def _raw(self) -> list[Piece]:
        """Text without chat markers, as a plain completion sends it: a question, or an answer begun."""
        _, ask, answer = self._turn(None)
        if self._random.random() < 0.7:
            return [Piece(ask), Piece(f"\n{answer}<|im_end|>", learned=True)]
        words = answer.split(" ")
        cut = self._random.randint(1, len(words))
        rest = "".join(f" {word}" for word in words[cut:])
        return [Piece(" ".join(words[:cut])), Piece(f"{rest}<|im_end|>", learned=True)]

    def _turn(self, before: tuple[Intent, str] | None) -> tuple[Intent, str, str]:
        dice = self._random.random()
        if before and before[0].more and dice < 0.3:
            return before[0], self._ask(_MORE), before[0].more
        if before and dice < 0.35:
            return before[0], self._ask(_REPEAT), before[1]
        intents = self.known if dice < 0.8 else self.unknown
        intent = self._random.choices(intents, weights=[4 + len(each.core) for each in intents])[0]
        asks = intent.core if self._random.random() < CORE_SHARE else intent.asks
        return intent, self._ask(self._random.choice(asks)), self._random.choice(intent.answers)

    def _ask(self, pattern: str) -> str:
        return noise.dirty(patterns.expand(pattern, self.slots, self._random), self._random)

    def _system(self, long: bool) -> list[Piece]:
        if self._random.random() > (0.8 if long else 0.2):
            return []
        text = self._random.choice(_SYSTEMS)
        if long or self._random.random() < 0.3:
            words = self._random.randint(50, 300) if long else self._random.randint(3, 30)
            text = f"{text} {patterns.babble(self.slots, self._random, words)}"
        role = self._random.choice(("system", "system", "system", "developer"))
        return [Piece(f"<|im_start|>{role}\n{text}<|im_end|>\n")]

    def _exchanged(self, ask: str, answer: str) -> list[Piece]:
        """A question with its answer, now and then as JSON."""
        dice = self._random.random()
        if dice > JSON_SHARE:
            return [_asked(ask), Piece(f"{answer}<|im_end|>", learned=True), Piece("\n")]
        value = json.dumps(answer)
        if dice < JSON_SHARE / 2:
            ask += self._random.choice(_JSON_ASKS)
            return [_asked(ask), Piece(f'{{"answer": {value}}}<|im_end|>', learned=True), Piece("\n")]
        # A grammar may force JSON, and its keys, on a model that was not asked for it: so the opening is given.
        opening = f'{{"{self._random.choice(_JSON_KEYS)}": "'
        return [_asked(ask), Piece(opening), Piece(f"{value[1:]}}}<|im_end|>", learned=True), Piece("\n")]


def _asked(ask: str) -> Piece:
    return Piece(f"<|im_start|>user\n{ask}<|im_end|>\n<|im_start|>assistant\n")


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((HERE / name).read_text(encoding="utf-8"))
