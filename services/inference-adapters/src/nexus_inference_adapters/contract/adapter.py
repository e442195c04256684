"""The contract every kind of backend fulfils. Limits, cancellation, queueing and metrics are `backend.py`'s."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import memory_pb2, model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract.http import Http, Seen
from nexus_inference_adapters.contract.learned import Learned
from nexus_inference_adapters.contract.patience import Patience

__all__ = [
    "ABILITIES",
    "Adapter",
    "Completed",
    "Count",
    "Event",
    "Finish",
    "Inspection",
    "Need",
    "Offer",
    "Progress",
    "Work",
]

ABILITIES: dict[memory_pb2.Ability, str] = {
    memory_pb2.ABILITY_LOAD: "load",
    memory_pb2.ABILITY_UNLOAD: "unload",
    memory_pb2.ABILITY_PULL: "pull",
    memory_pb2.ABILITY_DELETE: "delete",
}
"""What can be done with models besides running them, and the word for it."""


@dataclass(frozen=True, slots=True)
class Work:
    """One request. `body` is the parsed OpenAI object; the adapter may change it, nobody else uses it."""

    operation: int
    model: str
    """The name the backend itself uses."""
    offered: str
    """The name the mesh uses; it stands in the answer."""
    body: dict[str, Any]
    request_id: str
    continues: bool = False
    """Whether the last message is the beginning of the answer. Only asked of models with the prefill capability."""
    keep_alive: int | None = None
    """Seconds the engine shall keep the model in memory afterwards, negative = for ever; None = by its own rule."""
    granted: frozenset[str] = frozenset()
    """Parameters that are on no list and may be sent all the same; of Ollama's options as "options.NAME"."""


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


@dataclass(frozen=True, slots=True)
class Finish:
    """The good end of a stream, always its last event."""

    usage: inference_pb2.Usage | None


Event = list[str] | Progress | Finish
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


Need = Literal["url", "path"]
"""What a row of [[backends]] says of where its engine is: the address of a server, or the file of a model, which may
be left out."""


class Adapter(ABC):
    """One backend. Every method raises MeshError and nothing else.

    The class says what its kind is called, what the settings must say of one, and how a server of it is recognised.
    """

    kind: ClassVar[str]
    needs: ClassVar[Need] = "url"
    abilities: ClassVar[frozenset[memory_pb2.Ability]] = frozenset()
    """What it can do with models; of the methods at the end those are its own."""
    instead: ClassVar[str] = "Do it with the backend's own tools."
    """What to do about what it cannot."""

    holds_schemas: ClassVar[bool] = True
    """Whether it holds answers to a JSON schema where its models can: a tool call can be brought about by one."""

    def __init__(self, config: BackendConfig, http: Http) -> None:
        self.config = config
        self.http = http
        self.learned = Learned()

    @classmethod
    async def speaks(cls, http: Http, listing: Seen) -> str | None:
        """What to call a server of this kind; None when the one at `http` is not known to be one.

        `listing`: its answer to GET /v1/models.
        """
        return None

    async def recognised(self, kinds: Iterable[type[Adapter]]) -> Adapter:  # noqa: ARG002 - most are what they seem
        """The adapter this engine is spoken to with: another where it has shown itself to be of another kind."""
        return self

    async def open(self) -> None:  # noqa: B027 - most kinds have nothing to open
        """Called once before anything else."""

    async def close(self) -> None:  # noqa: B027 - most kinds have nothing to close
        """Called once, last; also when `open` failed."""

    @abstractmethod
    async def inspect(self) -> Inspection:
        """How the backend is and what it offers. Raises BACKEND_DOWN when it does not answer."""

    async def count(self, work: Work) -> Count | None:  # noqa: ARG002 - most kinds cannot count
        """The tokens of a request's prompt by the backend's own count; None when it has none for this request."""
        return None

    @abstractmethod
    async def complete(self, work: Work, patience: Patience) -> Completed:
        """Runs a request to its end. Every wait on the backend goes through `patience`."""

    @abstractmethod
    def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        """Runs a request and hands on what arrives. Closing the generator closes the backend's connection."""

    async def load(self, offer: Offer, keep_alive: int | None, patience: Patience) -> int:  # noqa: ARG002
        """Brings a model into memory; the bytes it takes there, 0 = not told. `keep_alive` as in Work."""
        raise self.unable(memory_pb2.ABILITY_LOAD)

    async def unload(self, offer: Offer, patience: Patience) -> None:  # noqa: ARG002
        """Returns when the model's memory is free."""
        raise self.unable(memory_pb2.ABILITY_UNLOAD)

    def pull(self, model: str, patience: Patience) -> AsyncGenerator[Progress, None]:  # noqa: ARG002
        """Fetches a model; ends when it is there. Closing the generator stops it."""
        raise self.unable(memory_pb2.ABILITY_PULL)

    async def delete(self, offer: Offer) -> None:  # noqa: ARG002
        """Removes a model's files."""
        raise self.unable(memory_pb2.ABILITY_DELETE)

    def unable(self, ability: memory_pb2.Ability) -> MeshError:
        return MeshError(
            Reason.CAPABILITY_MISSING,
            f"A backend of kind {self.kind} can't {ABILITIES[ability]} models. {self.instead}",
        )
