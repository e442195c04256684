"""A place for a request: at once, or after a wait, and then by a plan made anew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar

from nexus_gateway.admission import Admission
from nexus_gateway.core import Passage
from nexus_gateway.pipeline.steps import Step, Way

__all__ = ["Admit"]


class Admit(Step):
    """From here to the start of the ride nothing else may run, so that nobody else gets the place meanwhile."""

    ways: ClassVar[Way] = Way.RUN
    late: ClassVar[bool] = True

    def __init__(self, admission: Admission, again: Callable[[Passage], Awaitable[None]]) -> None:
        """`again` has the steps before look anew."""
        self._admission = admission
        self._again = again

    async def start(self, passage: Passage) -> None:
        if not (targets := self._admission.blocked(passage)):
            return
        with self._admission.waiting(passage, targets) as wait:
            while targets:
                with await wait.turn(targets) as kept:
                    await self._again(passage)
                targets = wait.left(kept)
