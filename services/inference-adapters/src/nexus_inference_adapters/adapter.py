"""The contract every kind of backend fulfils. Limits, cancellation, queueing and metrics are `backend.py`'s."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2

from nexus_inference_adapters.config import BackendConfig
from nexus_inference_adapters.http import Http
from nexus_inference_adapters.patience import Patience

__all__ = ["Adapter", "Completed", "Event", "Finish", "Inspection", "Offer", "Progress", "Work"]


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


@dataclass(frozen=True, slots=True)
class Completed:
    """A whole answer: an OpenAI response object as JSON text."""

    body: str
    usage: inference_pb2.Usage | None


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
    """A model for the catalog, the name the backend uses for it, and other names it is asked for by."""

    model: model_pb2.Model
    name: str
    aliases: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a look at the backend showed. `capacity`: requests it runs at once; 0 = it does not say."""

    state: instance_pb2.State
    reason: str = ""
    offers: Sequence[Offer] = field(default_factory=tuple)
    capacity: int = 0


class Adapter(ABC):
    """One backend. Every method raises MeshError and nothing else."""

    kind: ClassVar[str]

    def __init__(self, config: BackendConfig, http: Http) -> None:
        self.config = config
        self.http = http

    async def open(self) -> None:  # noqa: B027 - most kinds have nothing to open
        """Called once before anything else."""

    async def close(self) -> None:  # noqa: B027 - most kinds have nothing to close
        """Called once, last; also when `open` failed."""

    @abstractmethod
    async def inspect(self) -> Inspection:
        """How the backend is and what it offers. Raises BACKEND_DOWN when it does not answer."""

    @abstractmethod
    async def complete(self, work: Work, patience: Patience) -> Completed:
        """Runs a request to its end. Every wait on the backend goes through `patience`."""

    @abstractmethod
    def stream(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        """Runs a request and hands on what arrives. Closing the generator closes the backend's connection."""
