"""The numbers of nexus.types.v1 and nexus.registry.v1 this library decides by. A test holds them equal."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from nexus_operations import Operation

__all__ = ["Capability", "Operation", "State", "names"]


class Capability(IntEnum):
    """What a model can do beyond the operation itself."""

    TOOLS = 1
    VISION = 2
    AUDIO = 3
    REASONING = 4
    JSON = 5
    LOGPROBS = 6
    CHOICES = 7
    TOOL_CHOICE = 8
    TOKEN_INPUT = 9
    PREFILL = 10


class State(IntEnum):
    """Whether a target can be used."""

    UNSPECIFIED = 0
    STARTING = 1
    ACTIVE = 2
    UNHEALTHY = 3
    DRAINING = 4


def names(vocabulary: type[IntEnum], values: Iterable[int]) -> str:
    """The values in lower case, sorted, for people; a number newer than this library stays a number."""
    known = {member.value: member.name.lower() for member in vocabulary}
    return ", ".join(sorted(known.get(value, f"#{value}") for value in values))
