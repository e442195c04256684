"""What goes in and what comes out, whichever way it travels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = [
    "Answer",
    "Candidate",
    "Count",
    "Embeddings",
    "Event",
    "Explanation",
    "Finished",
    "Messages",
    "Model",
    "ModelState",
    "Options",
    "Picture",
    "Progress",
    "Reasoning",
    "Served",
    "Started",
    "Text",
    "ToolCall",
    "Usage",
]

Messages: TypeAlias = str | Sequence[Mapping[str, object]]
"""OpenAI's `messages`; a text is one message of the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`parameters`: further keys of the OpenAI body, as {"temperature": 0}. `zone`: the privacy zone the answer must
    come from; it only adds to what policy demands. `priority`: empty = normal. `on_behalf_of`: name of the tenant the
    request is for, of a member that acts for tenants. `timeout` in seconds, of the whole request.
    """

    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    zone: str = ""
    priority: Literal["", "low", "normal", "high"] = ""
    on_behalf_of: str = ""
    timeout: float = 600.0


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens used; None = nobody said."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """Who answered, where and why (`route_reason`, as "capability-match"); see `Served` in inference.proto."""

    model: str
    backend: str
    instance: str
    kind: str
    zone: str
    attempts: int
    route_reason: str
    fallback_model: str = ""
    dropped_tier: str = ""
    scrubbed: int | None = None
    cost_dollars: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `body`: the OpenAI object. `text`: content of its first choice, empty if that has none."""

    body: Mapping[str, object]
    text: str
    usage: Usage | None
    served: Served | None


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector for each text, in the order they were given."""

    vectors: tuple[tuple[float, ...], ...]
    usage: Usage | None
    served: Served | None


@dataclass(frozen=True, slots=True)
class Count:
    """Tokens of a prompt. `method`: who counted, for people."""

    tokens: int
    estimated: bool
    method: str


@dataclass(frozen=True, slots=True)
class Started:
    """Who answers. The first event, unless nobody is certain by then."""

    served: Served


@dataclass(frozen=True, slots=True)
class Text:
    """Append to the text of the choice so far."""

    text: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Append to the reasoning of the choice so far."""

    text: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Append `arguments` to those of the call `call` of the choice; `id` and `name` come with its first piece."""

    arguments: str
    id: str
    name: str
    call: int = 0
    index: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """A sign of life before content; 0 of 0 when unknown. While a model is pulled: bytes."""

    phase: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A file's bytes. `preview`: which look at it on its way this is, None = it is done. `size` as "256x256"; `seed`
    makes the same one again, None = its backend does not say."""

    data: bytes
    size: str
    preview: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a good stream, once and last. `reasons`: by choice, why it ended, as "stop" or "length"."""

    reasons: Mapping[int, str]
    usage: Usage | None


Event: TypeAlias = Started | Text | Reasoning | ToolCall | Progress | Finished


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be asked. `created` in seconds since the epoch."""

    id: str
    created: int
    owned_by: str


@dataclass(frozen=True, slots=True)
class ModelState:
    """What was done to which model where. `memory_bytes` 0 = unknown."""

    model: str
    state: Literal["loaded", "unloaded", "deleted"]
    backend: str
    instance: str
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """`rank` from 1 in the order of trying; 0 = refused at `stage`. What a key may not know is empty."""

    rank: int
    model: str
    backend: str = ""
    instance: str = ""
    zone: str = ""
    stage: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a request would go, and why not elsewhere. `count` None = nobody could count its prompt."""

    model: str
    resolved_model: str
    """Empty = nobody offers it."""
    zones: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    count: Count | None
