"""What is asked of the fetcher, and what it answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["AT_ONCE", "LARGEST", "SECONDS", "Fetched", "Rules", "Unfetched"]

SECONDS = 5.0
"""Of one fetch, its redirects among them."""
LARGEST = 20 << 20
"""Bytes of one answer, whatever is asked for."""
AT_ONCE = 8
"""Fetches that run; others wait for their turn."""

LISTED = re.compile(r"(?:\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?)(?::[1-9][0-9]{0,4})?")


Answers = Mapping[str, tuple[tuple[str, ...], ...]]


def _none() -> Answers:
    return {}


@dataclass(frozen=True, slots=True)
class Fetched:
    """All of an answer. `mime_type`: as its sender calls it, without parameters; "" = it does not say."""

    data: bytes
    mime_type: str


class Unfetched(Exception):
    """`why` completes a sentence that begins with the URL's place, and quotes nothing that stands behind it."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Rules:
    """`private`: hosts that may be fetched from though their addresses are not public, as "host" or "host:port".

    `answers`: of names that are not looked up, their addresses the first time they are asked for, the second time and
    so on; the last ones stay. As a resolver would tell them: they are checked like any others.
    """

    private: tuple[str, ...] = ()
    answers: Answers = field(default_factory=_none)

    def __post_init__(self) -> None:
        for entry in self.private:
            if LISTED.fullmatch(entry) is None:
                raise ValueError(
                    f'{entry!r} is not a host; write "media.lan", "10.0.0.7:8000" or "[fd00::7]"'
                )

    def written(self) -> dict[str, object]:
        """As `read` takes them, once they are JSON."""
        return {"private": self.private, "answers": dict(self.answers)}

    @classmethod
    def read(cls, text: bytes) -> Rules:
        told = json.loads(text)
        answers: Answers = {name: tuple(map(tuple, each)) for name, each in told["answers"].items()}
        return cls(tuple(told["private"]), answers)
