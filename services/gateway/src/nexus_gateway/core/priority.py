"""How urgent a request is: nexus.inference.v1.Priority as plain values."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Priority"]


class Priority(IntEnum):
    """The numbers of nexus.inference.v1.Priority. A test holds the two equal."""

    LOW = 1
    NORMAL = 2
    HIGH = 3
