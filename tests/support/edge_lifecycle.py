"""The lifecycle behind a scripted edge: does nothing, notes what it was asked for, fails when told to."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from nexus.lifecycle.v1 import lifecycle_pb2
from nexus_gateway.access import Principal
from nexus_gateway.management.lifecycle import Done
from nexus_mesh.core.errors import MeshError

__all__ = ["EdgeLifecycle"]


class EdgeLifecycle:
    """`asked` has (what, principal, model, backend) of each call; a pull fails after `steps` with `failure`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str, str]] = []
        self.failure: MeshError | None = None
        self.steps = 2
        self.closed = False

    async def do(self, what: str, principal: Principal, model: str, backend: str) -> Done:
        self.asked.append((what, principal.name, model, backend))
        if self.failure is not None:
            raise self.failure
        return Done(model, backend or "box", "node/adapter/one", 42 if what == "load" else 0)

    def pull(
        self, principal: Principal, model: str, backend: str
    ) -> tuple[Done, AsyncGenerator[lifecycle_pb2.PullProgress, None]]:
        self.asked.append(("pull", principal.name, model, backend))
        return Done(model, backend or "box", "node/adapter/one"), self._pull()

    async def _pull(self) -> AsyncGenerator[lifecycle_pb2.PullProgress, None]:
        try:
            for step in range(self.steps):
                yield lifecycle_pb2.PullProgress(phase="pulling abc", done_bytes=step, total_bytes=self.steps)
            if self.failure is not None:
                raise self.failure
        finally:
            self.closed = True
