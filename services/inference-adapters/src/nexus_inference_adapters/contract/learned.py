"""What models have shown that they do not do, though their engine says so: capabilities by model, for a while."""

from __future__ import annotations

import time

from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason

__all__ = ["Broken", "Learned"]

SECONDS = 600.0
"""One bad answer may have been bad luck, and engines are mended: so it is tried again."""


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
        self._missing[model, capability] = time.monotonic() + SECONDS

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
