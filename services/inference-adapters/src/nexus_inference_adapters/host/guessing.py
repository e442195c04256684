"""A prompt's tokens where the backend does not count: by the model's tokenizer file if one is set, else by its text.

Either way it is an estimate: how the engine frames a chat, and with which marks, is known to the engine alone.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from nexus_mesh.core import telemetry
from nexus_operations import estimate

from nexus_inference_adapters.contract import Count, Work

__all__ = ["Guesses"]

BY_TEXT, BY_FILE = "estimate", "tokenizer file"

log = telemetry.logger("guessing")


class Encoding(Protocol):
    """Of one text."""

    @property
    def ids(self) -> list[int]: ...


class Tokenizer(Protocol):
    """What is used of the library's, which need not be installed."""

    def encode(self, text: str, *, add_special_tokens: bool) -> Encoding: ...


class Guesses:
    """`files`: tokenizer.json by model. Each is read at its first use, in a thread; a broken one is reported once."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files
        self._tokenizers: dict[str, Tokenizer | None] = {}

    async def guess(self, work: Work) -> Count:
        """The estimate for a request."""
        if work.offered in self._files:
            counted = await asyncio.to_thread(self._by_file, work)
            if counted is not None:
                return counted
        return Count(estimate(work.operation, work.body), BY_TEXT, estimated=True)

    def _by_file(self, work: Work) -> Count | None:
        name = work.offered
        if name not in self._tokenizers:
            self._tokenizers[name] = _read(self._files[name])
        tokenizer = self._tokenizers[name]
        if tokenizer is None:
            return None

        def tokens_of(text: str) -> int:
            return len(tokenizer.encode(text, add_special_tokens=False).ids)

        return Count(estimate(work.operation, work.body, tokens_of), BY_FILE, estimated=True)


def _read(path: Path) -> Tokenizer | None:
    """A tokenizer; None when the file holds none. The settings have seen to it that the library is there."""
    try:
        return importlib.import_module("tokenizers").Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        log.warning("tokenizer file cannot be read", path=str(path), problem=str(error)[:200])
        return None
