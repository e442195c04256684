"""What tokens cost."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FREE", "Price"]

MILLION = 1e6


class Price(NamedTuple):
    """US dollars per million tokens, of the prompt and of the answer."""

    input: float = 0.0
    output: float = 0.0

    @property
    def total(self) -> float:
        """What prices are compared by. Rounded, so that equal sums are equal."""
        return round(self.input + self.output, 9)

    def cost(self, prompt_tokens: float, answer_tokens: float) -> float:
        """US dollars."""
        return (self.input * prompt_tokens + self.output * answer_tokens) / MILLION


FREE = Price()
