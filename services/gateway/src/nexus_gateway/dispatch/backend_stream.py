"""One stream from one candidate: limits on its silence, and the rule that only `finish` ends it well."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import cast

from nexus.inference.v1 import inference_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.rpc import Peer, StreamCall
from nexus_routing import Candidate

from nexus_gateway.core import Passage
from nexus_gateway.dispatch.content import has_content
from nexus_gateway.dispatch.failures import told
from nexus_gateway.dispatch.watchdog import Watchdog
from nexus_gateway.fleet import STREAM, Ride, connecting

__all__ = ["BackendStream"]

Messages = AsyncGenerator[inference_pb2.StreamResponse, None]
END_GRACE = 1.0


class BackendStream:
    """Open from construction to close(). `early` holds what arrived up to and with the first content."""

    def __init__(
        self,
        peer: Peer,
        candidate: Candidate,
        ride: Ride,
        request: inference_pb2.StreamRequest | bytes,
        passage: Passage,
    ) -> None:
        self.early: deque[inference_pb2.StreamResponse] = deque()
        self._peer = peer
        self._ride = ride
        self._candidate = candidate
        self._limits = passage.limits
        self._limit = passage.limits.first_token
        self._begun = False
        self._call: StreamCall[inference_pb2.StreamResponse] = peer.stream(
            STREAM, request, timeout=passage.left
        )
        self._messages: Messages | None = None
        self._watchdog = Watchdog(self._call.cancel)
        self._finished = False

    async def open(self) -> None:
        """Reads up to the first content. Raises MeshError."""
        await self._call.__aenter__()
        self._messages = cast(Messages, self._call.__aiter__())
        try:
            async with connecting(self._peer, self._limits.connect):
                message = await self.read()
        except MeshError as error:
            raise self._judged(error) from None
        while message is not None and not self._keep(message):
            message = await self.read()
        self._limit, self._begun = self._limits.stall, True

    async def read(self) -> inference_pb2.StreamResponse | None:
        """The next message; None after `finish`. Raises MeshError."""
        if self._finished:
            return None
        message = await self._next(self._limit)
        if message is None:
            raise self._judged(
                MeshError(
                    Reason.UPSTREAM_MALFORMED,
                    "The backend's answer ended without its finish; it is not whole.",
                )
            )
        if message.HasField("finish"):
            self._finished = True
            self._ride.succeed()
        return message

    async def close(self) -> None:
        """Cancels what still runs. A finished call may end by itself, so that the adapter sees no cancellation."""
        if self._messages is not None:
            if self._finished:
                with suppress(MeshError):
                    await self._next(END_GRACE)
            await self._messages.aclose()
            await self._call.__aexit__(None, None, None)
        self._watchdog.close()
        self._ride.close()

    async def _next(self, limit: float) -> inference_pb2.StreamResponse | None:
        assert self._messages is not None  # noqa: S101 - open() comes first
        self._watchdog.wait(limit)
        try:
            return await self._messages.__anext__()
        except StopAsyncIteration:
            return None
        except MeshError as error:
            raise self._judged(self._silence() if self._watchdog.expired else error) from None
        finally:
            self._watchdog.rest()

    def _keep(self, message: inference_pb2.StreamResponse) -> bool:
        """Stores an early message; whether it is content."""
        self.early.append(message)
        try:
            return has_content(message)
        except MeshError as error:
            raise self._judged(error) from None

    def _judged(self, error: MeshError) -> MeshError:
        self._ride.fail(error)
        return told(error, self._candidate, self._limits, begun=self._begun)

    def _silence(self) -> MeshError:
        return MeshError(
            Reason.STREAM_IDLE_TIMEOUT,
            f"The backend {self._candidate.target.backend} sent nothing for {self._limit:g} s.",
            metadata={"limit_seconds": f"{self._limit:g}"},
        )
