"""What may be done around the asking of a target, each as a pair: on the way down, and up again."""

from __future__ import annotations

from enum import Flag, auto
from typing import ClassVar

from nexus_gateway.core import Passage

__all__ = ["WAYS", "Step", "Way"]


class Way(Flag):
    """What is wanted of the pipeline."""

    COMPLETE = auto()
    STREAM = auto()
    COUNT = auto()
    EXPLAIN = auto()
    RUN = COMPLETE | STREAM
    """An answer."""
    SEND = RUN | COUNT
    """The prompt leaves this process."""
    ALL = SEND | EXPLAIN


WAYS = (Way.COMPLETE, Way.STREAM, Way.COUNT, Way.EXPLAIN)


class Step:
    """`ways`: those it is part of. `late`: it may take long, and does so while a stream's status is held back."""

    ways: ClassVar[Way] = Way.ALL
    late: ClassVar[bool] = False

    async def start(self, passage: Passage) -> None:
        """Raises MeshError for what must not go on."""

    async def again(self, passage: Passage) -> None:
        """After a wait, for what was true before it may not be any more. Raises as `start`."""

    def end(self, passage: Passage) -> None:
        """Whatever happened since `start` succeeded; of several, the last that started comes first."""
