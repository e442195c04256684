"""What a request has beside its body: files, read in pieces on their way to whoever runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator

from nexus.inference.v1 import inference_pb2

__all__ = ["Files", "OnTheirWay", "Step"]

Step = inference_pb2.Part | bytes
"""A file begins, or the next bytes of the last one, at most 64 KiB."""
Steps = AsyncGenerator[Step, None]


class Files(ABC):
    """The files of one request."""

    @abstractmethod
    def steps(self) -> Steps:
        """From the beginning. Raises MeshError for what is wrong with them, which is their sender's mistake."""

    @property
    @abstractmethod
    def can_be_sent_again(self) -> bool:
        """Whether `steps` may be asked for once more."""

    def close(self) -> None:  # noqa: B027 - what is on its way leaves nothing behind
        """Lets go of what was kept of them."""


class OnTheirWay(Files):
    """They are handed on as they come, and nothing is kept: so they can be sent once."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._begun = False

    async def steps(self) -> Steps:
        self._begun = True
        async for step in self._steps:
            yield step

    @property
    def can_be_sent_again(self) -> bool:
        return not self._begun
