"""The dispatcher behind the queue: nothing is sent before there is a place for it."""

from __future__ import annotations

from nexus.inference.v1 import inference_pb2

from nexus_gateway.admission import Admission, Replan
from nexus_gateway.core import Passage
from nexus_gateway.dispatch.backend_stream import BackendStream
from nexus_gateway.dispatch.dispatcher import Dispatcher

__all__ = ["QueuedDispatcher"]


class QueuedDispatcher:
    """`replan` plans a passage anew and raises what refuses it now.

    From the admission to the start of the ride nothing else runs, so that nobody else gets the place meanwhile.
    """

    def __init__(self, dispatcher: Dispatcher, admission: Admission, replan: Replan) -> None:
        self._dispatcher = dispatcher
        self._admission = admission
        self._replan = replan

    async def complete(self, passage: Passage) -> inference_pb2.CompleteResponse:
        """As Dispatcher.complete(); also raises OVERLOAD, RATE_LIMIT and DRAINING."""
        if targets := self._admission.admit(passage):
            await self._admission.wait(passage, targets, self._replan)
        return await self._dispatcher.complete(passage)

    async def open_stream(self, passage: Passage) -> BackendStream:
        """As Dispatcher.open_stream(), and the same besides."""
        if targets := self._admission.admit(passage):
            await self._admission.wait(passage, targets, self._replan)
        return await self._dispatcher.open_stream(passage)
