"""What a ledger is told and what it holds. Sizes are bytes; times are seconds on a clock of the caller's."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

__all__ = ["Claim", "Device", "Hold", "Key", "Moves", "Rules", "State"]


class Key(NamedTuple):
    """A model at a backend, by the name the backend itself uses."""

    backend: str
    model: str


@dataclass(frozen=True, slots=True)
class Device:
    """A memory that models share. `backends` empty: those of this machine that no other device names."""

    name: str
    total: int
    headroom: int = 0
    backends: tuple[str, ...] = ()

    @property
    def capacity(self) -> int:
        """What models may have of it."""
        return self.total - self.headroom


@dataclass(frozen=True, slots=True)
class Rules:
    """When a model may, and when it should, leave its device.

    `min_residency`: how long a model stays once it is loaded, and how long a device rests after one model took
    another's place. `idle_unload`: after so long without a request a model is unloaded; 0 = never.
    """

    min_residency: float = 60.0
    idle_unload: float = 900.0


class State(Enum):
    """Where a model is on its way through memory."""

    LOADING = auto()
    READY = auto()
    UNLOADING = auto()


@dataclass(slots=True)
class Hold:
    """Memory spoken for. `since`: when it came into its state, or was last taken into use or let go. `ready_at`: when
    the model was in memory, or should be.

    `pinned`: nobody can unload it. `kept`: it is to stay though nobody uses it. `closing`: it lets no new request
    in, because another model's turn has come. `not_before`: unloading it failed; when to try again.
    """

    key: Key
    size: int
    state: State
    since: float
    users: int = 0
    ready_at: float = 0.0
    pinned: bool = False
    kept: bool = False
    closing: bool = False
    not_before: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a request may use it at once."""
        return self.state is State.READY and not self.closing

    @property
    def is_idle(self) -> bool:
        return self.state is State.READY and not self.users


@dataclass(slots=True)
class Claim:
    """A model that requests wait for."""

    key: Key
    size: int
    since: float
    requests: int = 0


@dataclass(slots=True)
class Moves:
    """What follows from a look at the ledger: what to load and to unload now, and whose requests may go."""

    load: list[Key] = field(default_factory=list)
    unload: list[Key] = field(default_factory=list)
    admit: list[Key] = field(default_factory=list)
