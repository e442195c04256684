"""A request in an adapter's terms, what comes back of it, and what a look at a backend shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2

from nexus_inference_adapters.contract.parts import Parts

__all__ = [
    "MEDIA_BYTES",
    "Completed",
    "Count",
    "Event",
    "Finish",
    "Inspection",
    "Json",
    "JsonObject",
    "Media",
    "Offer",
    "Progress",
    "Seen",
    "Text",
    "Work",
]

JsonObject: TypeAlias = dict[str, Any]
"""What a client or a server put under its keys: nobody has checked it, so whoever reads it looks what it is first."""
Json: TypeAlias = JsonObject | list[Any] | str | int | float | bool | None
"""Any value that JSON can hold."""


@dataclass(frozen=True, slots=True)
class Work:
    """One request. `body` is the parsed OpenAI object; the adapter may change it, nobody else uses it."""

    operation: int
    model: str
    """The name the backend itself uses."""
    offered: str
    """The name the mesh uses; it stands in the answer."""
    body: JsonObject
    request_id: str
    continues: bool = False
    """Whether the last message is the beginning of the answer. Only asked of models with the prefill capability."""
    keep_alive: int | None = None
    """Seconds the engine shall keep the model in memory afterwards, negative = for ever; None = by its own rule."""
    granted: frozenset[str] = frozenset()
    """Parameters that are on no list and may be sent all the same; of Ollama's options as "options.NAME"."""
    parts: Parts | None = None
    """The files that come with it, where its kind of work has any."""
    stream: bool = True
    """Of work with files: whether its answer is wanted as it is made."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A whole answer: an OpenAI response object as JSON text."""

    body: str
    usage: inference_pb2.Usage | None


@dataclass(frozen=True, slots=True)
class Count:
    """Tokens of a prompt, and who counted them."""

    tokens: int
    method: str
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """A sign of life without content."""

    phase: str
    done: int = 0
    total: int = 0
    unit: str = ""
    """What they count: "characters", "steps", ...; empty = it is plain."""


MEDIA_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Media:
    """Bytes of one output, or of a preview of it, in order; MEDIA_BYTES at most. As inference.proto's Media."""

    data: bytes
    index: int = 0
    preview: int | None = None
    mime_type: str = ""
    """On the first of an output or preview."""
    size: int | None = None
    """Bytes of the whole, on its first; None = it is still being made."""
    last: bool = False
    json: str = ""
    """With `last`: what else is known of it, as an object with OpenAI's names."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The good end of a stream, always its last event."""

    usage: inference_pb2.Usage | None


@dataclass(frozen=True, slots=True)
class Text:
    """All of an answer that was not asked for in pieces: a JSON object, or text of another type."""

    body: str
    mime_type: str = ""


Event = list[str] | Progress | Media | Text | Finish
"""A list holds chunks that arrived together, each a JSON text as inference.proto's Chunks describes."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A model for the catalog, the name the backend uses for it, and other names it is asked for by.

    `size`: bytes of its files, 0 = not told.
    """

    model: model_pb2.Model
    name: str
    aliases: Sequence[str] = ()
    size: int = 0


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a look at the backend showed. `capacity`: requests it runs at once; 0 = it does not say.

    `resident`: bytes of memory taken by each model that is in it, by the backend's names; None = it does not say.
    """

    state: instance_pb2.State
    reason: str = ""
    offers: Sequence[Offer] = field(default_factory=tuple)
    capacity: int = 0
    resident: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look showed. `body` is the parsed JSON, None when it is none."""

    status: int
    body: Json
    headers: Mapping[str, str]

    def dig(self, *keys: str) -> Json:
        """The value under nested keys, None where any is missing."""
        value = self.body
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def rows(self, key: str) -> list[JsonObject]:
        """The objects in the list under `key`."""
        value = self.dig(key)
        return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
