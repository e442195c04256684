"""Who is there in the mesh the faults are played on, and which models each of them offers."""

from __future__ import annotations

__all__ = [
    "ADAPTERS",
    "CROWD_INTERVAL",
    "CROWD_MODELS",
    "PAIR",
    "RESUMED",
    "SHARED",
    "VICTIMS",
    "side",
    "solo",
]

ADAPTERS = {"a": "adapter", "b": "adapter-other"}
"""The process each victim lives in."""
VICTIMS = "".join(ADAPTERS)
PAIR = "pair"
"""The model both backends offer; `solo-a` and `solo-b` are offered by one each."""
RESUMED = "resumed"
"""The same, and a cut stream of it may be gone on with by the other backend."""
SHARED = (PAIR, RESUMED)
CROWD_MODELS = [f"crowd-{number}" for number in range(20)]
"""Each of a backend of its own, half of them behind each adapter: most of the load goes to them."""
CROWD_INTERVAL = 0.3
"""Seconds between two tokens of theirs: a stream that is open for long costs little."""


def solo(victim: str) -> str:
    return f"solo-{victim}"


def side(model: str) -> str:
    """Behind which victim's adapter a model of the crowd is offered."""
    return VICTIMS[CROWD_MODELS.index(model) % len(VICTIMS)]
