"""How much one process may say of itself: the one place for the limits of a registry row.

Who writes rows keeps to them, the registry sees to it, and settings that could not be kept are refused at the start.
"""

from __future__ import annotations

__all__ = [
    "BACKENDS",
    "DEVICES",
    "ENDPOINTS",
    "KIND",
    "LICENSE",
    "MODELS",
    "MODEL_BYTES",
    "MODEL_ID",
    "NAME",
    "NOTE",
    "NOTES",
    "OWNER",
    "PRIORITY",
    "REASON",
    "RESERVATIONS",
    "SOURCE",
    "STATUS_BYTES",
    "TIER",
    "VERSION",
    "is_text",
]

STATUS_BYTES = 256 << 10
BACKENDS = 500
MODELS = 2000
"""Of one backend."""
MODEL_BYTES = 16 << 10
"""With what it says of its parameters: a hundred voices with their names are 8 KiB."""
ENDPOINTS = 32
DEVICES = 32
RESERVATIONS = 500
PRIORITY = 1_000_000
NOTES = 16

# Longest texts, in characters.
NAME = 128
KIND = 64
TIER = 64
REASON = 1024
MODEL_ID = 256
OWNER = 128
LICENSE = 128
SOURCE = 512
VERSION = 64
NOTE = 256


def is_text(text: str, longest: int, *, least: int = 0) -> bool:
    """Whether it has so many characters, and none that could confuse a log or a terminal."""
    return least <= len(text) <= longest and text.isprintable()
