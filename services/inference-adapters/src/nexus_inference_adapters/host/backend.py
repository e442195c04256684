"""One backend at work: each request through its adapter, between a gate and a clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager
from dataclasses import replace

from nexus.inference.v1 import inference_pb2
from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_mesh.settings import Timeouts
from nexus_operations import spec_of

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.contract import (
    Adapter,
    Broken,
    Completed,
    Count,
    Event,
    Finish,
    JsonObject,
    Media,
    Offer,
    Parts,
    Patience,
    Progress,
    Work,
)
from nexus_inference_adapters.host import metrics
from nexus_inference_adapters.host.memory.residency import Residency
from nexus_inference_adapters.host.outputs import OF_BYTES, Outputs
from nexus_inference_adapters.host.parameters import check_parameters
from nexus_inference_adapters.host.promises import Promises
from nexus_inference_adapters.host.sight import read_by_sight, reads_by_sight
from nexus_inference_adapters.host.watching import Watched

__all__ = ["Backend", "Backends"]

COUNT_SECONDS = 1.0
MEMORY_SHARE = 0.9
"""Of the time for the first token, so much at most goes by in waiting for memory: who waits hears of it from us."""
UNANSWERED = frozenset({Reason.BACKEND_DOWN, Reason.BACKEND_LOST})
CONTENT = (list, Media)
"""Types of events that are part of an answer."""
PREFILL = model_pb2.CAPABILITY_PREFILL

log = telemetry.logger("backend")


class Backend(Watched):
    """`limits` gives the timeouts of a model, `guess` estimates a prompt's tokens where the backend does not count."""

    def __init__(
        self,
        config: BackendConfig,
        adapter: Adapter,
        limits: Callable[[str], Timeouts],
        guess: Callable[[Work], Awaitable[Count]],
        changed: Callable[[], None],
        residency: Residency | None = None,
    ) -> None:
        super().__init__(config, adapter, changed, residency)
        self._limits = limits
        self._guess = guess

    async def complete(self, envelope: inference_pb2.Envelope, body: JsonObject) -> Completed:
        """Runs a request to its end."""
        work, place, limits = self._admitted(envelope, body)
        with self._measured(work):
            async with place:
                with Patience(limits, silence=limits.total) as patience:
                    completed = await self.adapter.complete(work, patience)
            self._count(completed.usage)
            Promises(work, self._context(work)).check_whole(completed)
        return completed

    async def stream(self, envelope: inference_pb2.Envelope, body: JsonObject) -> AsyncGenerator[Event, None]:
        """The events of a request, Finish last. Closing the generator lets go of the backend."""
        work, place, limits = self._admitted(envelope, body)
        started, begun = time.monotonic(), False
        with self._measured(work):
            async with place as waited:
                if waited:
                    yield Progress("loaded")
                with Patience(limits, silence=limits.first_token) as patience:
                    promises = Promises(work, self._context(work))
                    outputs = Outputs(work) if work.operation in OF_BYTES else None
                    async with aclosing(self.adapter.stream(work, patience)) as events:
                        async for event in events:
                            if outputs is not None:
                                outputs.hear(event)
                            promises.hear(event)
                            if not begun and type(event) in CONTENT:
                                begun = True
                                metrics.first_content(self.config.name).observe(time.monotonic() - started)
                            elif type(event) is Finish:
                                self._count(event.usage)
                            yield event

    async def upload(
        self, envelope: inference_pb2.Envelope, body: JsonObject, parts: Parts, *, stream: bool
    ) -> AsyncGenerator[Event, None]:
        """The same of a request with files. Its first event says that it is taken: until then nobody need send any."""
        work, place, limits = self._admitted(envelope, body)
        work = replace(work, parts=parts, stream=stream)
        with self._measured(work):
            async with place:
                yield Progress("receiving")
                with Patience(limits, silence=limits.first_token) as patience:
                    outputs = Outputs(work)
                    async with aclosing(self._asked(work, patience)) as events:
                        async for event in events:
                            outputs.hear(event)
                            if type(event) is Finish:
                                self._count(event.usage)
                            yield event

    def _asked(self, work: Work, patience: Patience) -> AsyncGenerator[Event, None]:
        """By its adapter, or by the chats of one that sees."""
        if reads_by_sight(self.offer(work.offered).model, work.operation):
            return read_by_sight(self.adapter, self.documents, work, patience)
        return self.adapter.stream(work, patience)

    async def count(self, envelope: inference_pb2.Envelope, body: JsonObject) -> Count:
        """The tokens of the prompt: the backend's own count where it gives one at once, else an estimate.

        It passes by the gate: a busy backend counts all the same.
        """
        work, counted = self._work(self.offer(envelope.model), envelope, body), None
        try:
            async with asyncio.timeout(COUNT_SECONDS):
                counted = await self.adapter.count(work)
        except (MeshError, TimeoutError):
            log.debug("backend did not count", backend=self.config.name)
        return counted or await self._guess(work)

    def model_id(self, name: str) -> str:
        """The catalog's name for a model that may have been asked for by another."""
        offer = self.offers.get(name)
        return offer.model.id if offer else name

    def offer(self, name: str) -> Offer:
        """What it offers under a name. Raises MODEL_NOT_FOUND, or BACKEND_DOWN while it is not known."""
        offer = self.offers.get(name)
        if offer is None and not self.offers and self.inspection.state != instance_pb2.STATE_ACTIVE:
            raise MeshError(
                Reason.BACKEND_DOWN, f"Backend {self.config.name} is not up: {self.inspection.reason}"
            )
        if offer is None:
            raise MeshError(
                Reason.MODEL_NOT_FOUND, f"Backend {self.config.name} does not offer model {name[:128]!r}."
            )
        return offer

    def limits(self, offer: Offer) -> Timeouts:
        return self._limits(offer.model.id)

    async def load(self, offer: Offer) -> int:
        """Has the engine load a model; the bytes it takes, 0 = not told. Asks no ledger."""
        limits = self.limits(offer)
        stay = None if self.residency is None else self.residency.stay(offer)
        with Patience(limits, silence=limits.total) as patience:
            size = await self.adapter.load(offer, stay, patience)
        self.look_now.set()
        return size

    async def unload(self, offer: Offer) -> None:
        """Has the engine unload a model, and waits until its memory is free. Asks no ledger."""
        limits = self.limits(offer)
        with Patience(limits, silence=limits.total) as patience:
            await self.adapter.unload(offer, patience)
        self.look_now.set()

    def place(self, offer: Offer, seconds: float) -> AbstractAsyncContextManager[bool | None]:
        """A place for a request: memory for its model where that is managed, and one of the places at the backend."""
        if self.residency is None or not self.residency.loads or offer.model.remote:
            return self.gate
        return self.residency.place(offer, self.gate, seconds)

    def _admitted(
        self, envelope: inference_pb2.Envelope, body: JsonObject
    ) -> tuple[Work, AbstractAsyncContextManager[bool | None], Timeouts]:
        """The request in the adapter's terms, its place and its limits. Raises MODEL_NOT_FOUND, CAPABILITY_MISSING."""
        offer = self.offer(envelope.model)
        work, limits = self._work(offer, envelope, body), self.limits(offer)
        if offer.model.parameters:
            check_parameters(offer.model, envelope.operation, body)
        return work, self.place(offer, MEMORY_SHARE * limits.first_token), limits

    def _work(self, offer: Offer, envelope: inference_pb2.Envelope, body: JsonObject) -> Work:
        if envelope.operation not in offer.model.operations:
            name = spec_of(envelope.operation).name
            raise MeshError(
                Reason.CAPABILITY_MISSING, f"Model {offer.model.id} does no {name} requests here."
            )
        request_id = envelope.request_id or telemetry.new_request_id()
        if envelope.continues and PREFILL not in offer.model.capabilities:
            raise MeshError(
                Reason.CAPABILITY_MISSING,
                f"Model {offer.model.id} cannot go on with an answer begun elsewhere.",
            )
        stay = None if self.residency is None else self.residency.stay(offer)
        named = (envelope.operation, offer.name, offer.model.id)
        return Work(*named, body, request_id, envelope.continues, stay, frozenset(envelope.granted))

    @contextmanager
    def _measured(self, work: Work) -> Iterator[None]:
        name, started, outcome = self.config.name, time.monotonic(), "cancelled"
        metrics.active(name).inc()
        try:
            yield
            outcome = "ok"
        except MeshError as error:
            outcome = error.reason.value
            if error.reason in UNANSWERED:
                self.look_now.set()
            if isinstance(error, Broken) and error.capability is not None:
                self.adapter.learned.miss(work.offered, error.capability)
                self.look_now.set()
            raise
        except Exception:
            outcome = Reason.INTERNAL.value
            raise
        finally:
            metrics.active(name).dec()
            metrics.requests(name, spec_of(work.operation).name, outcome).inc()
            metrics.seconds(name).observe(time.monotonic() - started)

    def _context(self, work: Work) -> int:
        offer = self.offers.get(work.offered)
        return offer.model.context_tokens if offer else 0

    def _count(self, usage: inference_pb2.Usage | None) -> None:
        if usage is not None:
            metrics.tokens(self.config.name, "prompt").inc(usage.prompt_tokens)
            metrics.tokens(self.config.name, "completion").inc(usage.completion_tokens)


class Backends(dict[str, Backend]):
    """By name. Raises INVALID_REQUEST without a name, BACKEND_DOWN when there is none of that name any more."""

    def __missing__(self, name: str) -> Backend:
        if not name:
            raise MeshError(
                Reason.INVALID_REQUEST, "The envelope must name the backend.", metadata={"param": "backend"}
            )
        raise MeshError(Reason.BACKEND_DOWN, f"There is no backend {name[:64]!r} here any more.")
