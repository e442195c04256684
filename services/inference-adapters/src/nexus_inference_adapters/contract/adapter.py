"""The contract every kind of backend fulfils. Limits, cancellation, queueing and metrics are the host's."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable
from typing import ClassVar, Literal

from nexus.types.v1 import memory_pb2, model_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract.http import Http
from nexus_inference_adapters.contract.waiting import Patience
from nexus_inference_adapters.contract.work import (
    Completed,
    Count,
    Event,
    Inspection,
    Offer,
    Progress,
    Seen,
    Work,
)

__all__ = ["ABILITIES", "Adapter", "Broken", "Learned", "Need"]

ABILITIES: dict[memory_pb2.Ability, str] = {
    memory_pb2.ABILITY_LOAD: "load",
    memory_pb2.ABILITY_UNLOAD: "unload",
    memory_pb2.ABILITY_PULL: "pull",
    memory_pb2.ABILITY_DELETE: "delete",
}
"""What can be done with models besides running them, and the word for it."""


BELIEVED_AGAIN_SECONDS = 600.0
"""One bad answer may have been bad luck, and engines are mended: so it is tried again."""

Need = Literal["url", "path"]
"""What a row of [[backends]] says of where its engine is: the address of a server, or the file of a model, which may
be left out."""


class Broken(MeshError):
    """A promise that an answer broke. `capability`: what is not to be believed of the model any longer."""

    def __init__(self, message: str, param: str, capability: model_pb2.Capability | None) -> None:
        super().__init__(Reason.UPSTREAM_MALFORMED, message, metadata={"param": param})
        self.capability = capability


class Learned:
    """Of one backend."""

    def __init__(self) -> None:
        self._missing: dict[tuple[str, model_pb2.Capability], float] = {}

    def miss(self, model: str, capability: model_pb2.Capability) -> None:
        self._missing[model, capability] = time.monotonic() + BELIEVED_AGAIN_SECONDS

    def misses(self, model: str, capability: model_pb2.Capability) -> bool:
        return self._missing.get((model, capability), 0.0) > time.monotonic()

    def missing(self, model: str) -> set[model_pb2.Capability]:
        return {
            capability
            for name, capability in self._missing
            if name == model and self.misses(name, capability)
        }

    def forget(self) -> None:
        """Another engine may answer from now on."""
        self._missing.clear()


class Adapter(ABC):
    """One backend. Every method raises MeshError and nothing else.

    The class says what its kind is called, what the settings must say of one, and how a server of it is recognised.
    """

    kind: ClassVar[str]
    needs: ClassVar[Need] = "url"
    ports: ClassVar[tuple[int, ...]] = ()
    """Where its servers listen when nobody told them otherwise."""
    schemes: ClassVar[tuple[str, ...]] = ("http", "https")
    """How its address may begin."""
    abilities: frozenset[memory_pb2.Ability] = frozenset()
    """What it can do with models; of the methods at the end those are its own. One may be able to do less than its
    kind."""
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
