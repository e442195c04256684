"""Plain sound as the decoder makes it and the recogniser takes it, and how a decoder ends."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["RATE", "SAMPLE_BYTES", "Ending"]

RATE, SAMPLE_BYTES = 16_000, 2
"""Samples a second, of one channel; each a whole number, the lower byte first."""


class Ending(IntEnum):
    """Exit codes."""

    GOOD = 0
    NO_SOUND = 3
    UNREADABLE = 4
    TOO_LONG = 5
    CUT_OFF = 6
