"""How much of a machine an engine in the box takes."""

from __future__ import annotations

import dataclasses

import pytest
from nexus_inference_adapters.gguf import GgufFacts, read_gguf
from nexus_inference_adapters.kinds.embedded.sizing import context_tokens, memory, threads
from nexus_inference_adapters.store import catalogue, installed

MIB = 2**20
SMALL = GgufFacts("m", "llama", 8192, 0, True, bytes_per_token=23_040)


@pytest.mark.parametrize(
    ("facts", "slots", "room", "tokens"),
    [
        (SMALL, 4, 1024 * MIB, 8192),
        (SMALL, 4, 400 * MIB, 4551),
        (SMALL, 4, 1, 2048),
        (SMALL, 1, 100 * MIB, 4551),
        (dataclasses.replace(SMALL, context_tokens=1024), 4, 1024 * MIB, 1024),
        (dataclasses.replace(SMALL, context_tokens=1024), 4, 1, 1024),
        (dataclasses.replace(SMALL, context_tokens=131_072), 1, 2**40, 8192),
        (dataclasses.replace(SMALL, bytes_per_token=0), 4, 1, 8192),
    ],
)
def test_contexts_fit_the_memory(facts: GgufFacts, slots: int, room: int, tokens: int) -> None:
    assert context_tokens(facts, slots, room) == tokens


def test_a_file_tells_what_a_token_of_context_takes() -> None:
    """30 layers of 3 pairs of heads, 64 numbers in each key and value, 2 bytes a number."""
    weights = installed(catalogue()["smollm2:135m"])
    assert weights is not None
    assert read_gguf(weights).bytes_per_token == 30 * 3 * (64 + 64) * 2


def test_the_machine_is_known() -> None:
    assert memory() > 64 * MIB
    assert (threads() or 1) >= 1
