"""What goes into a decision and what comes out. Plain values: no transport, no clock, no randomness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "OPEN",
    "Conditions",
    "Endpoint",
    "Explanation",
    "Load",
    "Model",
    "Offer",
    "Refusal",
    "Requirements",
    "Target",
    "Verdict",
]

Endpoint = tuple[str, str]
Offer = tuple[str, str]
"""Target id and model id: what a verdict is about."""
OPEN = "open"
"""The zone of whoever may be anybody. Demanding it demands nothing."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model as one target offers it. `created` in seconds since the epoch, 0 = unknown."""

    id: str
    operations: frozenset[int]
    capabilities: frozenset[int] = frozenset()
    context_tokens: int = 0
    loaded: bool = False
    owner: str = ""
    created: int = 0
    remote: bool = False
    """Whether the backend sends the prompt elsewhere: then it is in no zone but the open one, whoever lists it."""
    parameters: tuple[tuple[int, str], ...] = ()
    """JSON Schemas of what requests for it may say, by operation. Nothing is decided by them."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a target last said it had to do, in requests. `capacity` 0 = unknown."""

    active: int = 0
    queued: int = 0
    capacity: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """One backend of one instance: a place a request can go."""

    id: str
    instance: str
    address: str
    server_name: str
    backend: str
    kind: str
    models: tuple[Model, ...]
    state: int
    state_reason: str = ""
    zone: str = ""
    tier: str = ""
    priority: int = 50
    load: Load = field(default_factory=Load)
    gpus: tuple[str, ...] = ()
    """Names of the devices its models are in; empty = not known."""

    @property
    def endpoint(self) -> Endpoint:
        """What is dialled: all targets of one instance share it."""
        return self.address, self.server_name

    @property
    def host(self) -> str:
        """The node its instance runs on."""
        return self.instance.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a request asks for. `needs` holds Capability values beyond the operation.

    `zones`: privacy zones the caller demands; whoever serves must be in all of them. `tenant`: whose request it is,
    for rules. `tokens`: room the prompt and the answer need, counted and not guessed; 0 = not known. `affinity`: equal
    for requests that share the head of their prompt, 0 = no matter; they go to one target while it is at ease.
    """

    operation: int
    model: str
    needs: frozenset[int] = frozenset()
    zones: frozenset[str] = frozenset()
    tenant: str = ""
    tokens: int = 0
    affinity: int = 0


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the asking process itself knows, newer than any table.

    `active`: its own running requests by target id. `unreachable`, `gone`, `ejected` and `paused`: why an endpoint, a
    target, or a model of a target gets nothing now. A target that is gone refused a connection; an ejected model of it
    failed there, which is overlooked when nobody else is left; a paused one asked for that itself. `slow`: by model and
    target id, how much more loaded than it is a slow target seems, in 0..1 of its places. `turn`: any growing number;
    equals are tried in an order that rotates with it.
    """

    active: Mapping[str, int] = field(default_factory=dict[str, int])
    unreachable: Mapping[Endpoint, str] = field(default_factory=dict[Endpoint, str])
    gone: Mapping[str, str] = field(default_factory=dict[str, str])
    ejected: Mapping[Offer, str] = field(default_factory=dict[Offer, str])
    paused: Mapping[Offer, str] = field(default_factory=dict[Offer, str])
    slow: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The fate of one target for one model. `rank` from 1 in the order of trying, 0 = refused at `stage`."""

    target: Target
    rank: int
    stage: str
    reason: str
    model: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every target's verdict: the chosen in order, then the refused by id. `model` is None when unknown.

    Fallback models follow with the targets that offer them. `zones` and `tier`: what was demanded, by policy and by
    the caller; no tier = "". `scrubbed`: nobody inside those zones offers the model, and what is told is where the
    request may go instead once it is scrubbed.
    """

    model: str | None
    verdicts: tuple[Verdict, ...]
    zones: frozenset[str] = frozenset()
    tier: str = ""
    scrubbed: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a plan is empty: the deepest stage any target got to, and the verdicts of those that got there.

    `missing`: capabilities none of them has. `available`: capabilities any of them has. `suggestions`: known names like
    the unknown one. `fallbacks`: models that were to stand in and could not either. `tier`: the lowest allowed.
    """

    stage: str
    verdicts: tuple[Verdict, ...]
    missing: frozenset[int] = frozenset()
    available: frozenset[int] = frozenset()
    suggestions: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    tier: str = ""
