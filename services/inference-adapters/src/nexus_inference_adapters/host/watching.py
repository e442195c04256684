"""The watch on one engine: what it says of itself, looked at every few seconds, and how much of that is believed.

As much is believed as the registry takes, as an engine elsewhere may say, and as the model's answers bear out.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from collections.abc import Callable

from nexus.registry.v1 import instance_pb2
from nexus.types.v1 import model_pb2
from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_mesh.rows import REASON, fitting_models, shown

from nexus_inference_adapters.backend_config import MOST_AT_ONCE, BackendConfig
from nexus_inference_adapters.contract import Adapter, Gate, Inspection, Offer
from nexus_inference_adapters.documents import Documents
from nexus_inference_adapters.host import metrics
from nexus_inference_adapters.host.memory.residency import Residency
from nexus_inference_adapters.host.sight import let_read
from nexus_inference_adapters.kinds import ADAPTERS

__all__ = ["MODELS", "Watched", "as_remote", "fitting"]

INSPECT_SECONDS = 3.0
STARTING_SECONDS = 0.25
SILENCES_TO_UNHEALTHY = 2
"""A backend that answers a look late may only be busy; one that refuses connections is down at once."""
MODELS = 50
"""Of a found engine. Nobody vouches for what it says of itself, and it must not fill the registry's entry."""
ID_BYTES = 200
JSON, TOOL_CHOICE = model_pb2.CAPABILITY_JSON, model_pb2.CAPABILITY_TOOL_CHOICE

log = telemetry.logger("backend")


class Watched:
    """An engine under watch. `changed` is called after every inspection.

    `residency`: its part of a managed device; None = nobody manages its memory.
    """

    def __init__(
        self,
        config: BackendConfig,
        adapter: Adapter,
        changed: Callable[[], None],
        residency: Residency | None = None,
    ) -> None:
        self.config = config
        self.adapter = adapter
        self.residency = residency
        self.gate = Gate(config.max_concurrency or 0)
        self.inspection = Inspection(instance_pb2.STATE_STARTING, "It has not been looked at yet.")
        self.offers: dict[str, Offer] = {}
        """What it offers, by all the names it is asked for by."""
        self.looked_at = asyncio.Event()
        """Set by the first inspection, whatever it showed."""
        self.look_now = asyncio.Event()
        """Set to have it looked at before its time."""
        self.documents = Documents()
        """For models that see pages as pictures."""
        self._configured = adapter
        self._changed = changed
        self._silences = 0
        self._fault: type[Exception] | None = None

    def describe(self) -> instance_pb2.Backend:
        """Its entry in the registry."""
        gate = self.gate
        return instance_pb2.Backend(
            name=self.config.name,
            kind=self.adapter.kind,
            state=self.inspection.state,
            state_reason=self.inspection.reason,
            models=[offer.model for offer in self.inspection.offers],
            priority=self.config.priority,
            tier=self.config.tier,
            load=instance_pb2.Load(active=gate.active, queued=gate.queued, capacity=gate.capacity),
            abilities=[] if self.config.found_elsewhere else sorted(self.adapter.abilities),
        )

    async def watch(self) -> None:
        """Looks at the backend for as long as it is served."""
        await self.adapter.open()
        while True:
            await self._inspect()
            self.look_now.clear()
            pause = (
                STARTING_SECONDS if self.inspection.state == instance_pb2.STATE_STARTING else INSPECT_SECONDS
            )
            try:
                async with asyncio.timeout(pause * random.uniform(0.8, 1.2)):
                    await self.look_now.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        if self.residency is not None:
            self.residency.forget()
        await self.documents.close()
        await self.adapter.close()
        metrics.UP.labels(self.config.name).set(0)

    async def _inspect(self) -> None:
        begun = time.monotonic()
        try:
            self.adapter = await self.adapter.recognised(ADAPTERS.values())
            inspection = fitting(await self.adapter.inspect())
            self._silences, self._fault = 0, None
            if self.residency is not None:
                self.residency.observe(inspection, begun)
        except MeshError as error:
            if error.reason is Reason.UPSTREAM_ERROR:
                self.adapter = self._configured  # it is not what it was taken for
            self._silences += 1
            late = error.reason is Reason.STREAM_IDLE_TIMEOUT and self._silences < SILENCES_TO_UNHEALTHY
            if late and self.inspection.state == instance_pb2.STATE_ACTIVE:
                return
            starting = error.reason is Reason.MODEL_NOT_READY
            state = instance_pb2.STATE_STARTING if starting else instance_pb2.STATE_UNHEALTHY
            if self.residency is not None and error.reason is Reason.BACKEND_DOWN:
                self.residency.forget()
            reason = shown(error.message, REASON)
            inspection = Inspection(state, reason, self.inspection.offers, self.inspection.capacity)
        except Exception as error:  # an answer nobody thought of must not end the watch
            if type(error) is not self._fault:  # it is looked at every few seconds, and logged once
                log.exception("inspection failed", backend=self.config.name)
            self._fault = type(error)
            inspection = Inspection(instance_pb2.STATE_UNHEALTHY, "Its answers about itself make no sense.")
        self._adopt(inspection)

    def _adopt(self, inspection: Inspection) -> None:
        for offer in inspection.offers:
            _believe(offer, self.adapter)
            if self.config.operations is None:  # else the operator has said all they do
                let_read(offer.model)
        if self.config.remote:
            inspection = as_remote(inspection, found=self.config.found_elsewhere)
        if inspection.state != self.inspection.state:
            state = instance_pb2.State.Name(inspection.state)
            log.info("backend changed", backend=self.config.name, state=state, reason=inspection.reason)
        self.inspection = inspection
        self.offers = {
            alias: offer for offer in inspection.offers for alias in (*offer.aliases, offer.model.id)
        }
        if self.config.max_concurrency is None:
            self.gate.resize(inspection.capacity)
        metrics.UP.labels(self.config.name).set(inspection.state == instance_pb2.STATE_ACTIVE)
        self._changed()
        self.looked_at.set()


def fitting(inspection: Inspection) -> Inspection:
    """The same without models nobody could ask for; the reason tells how many, and why."""
    models, note = fitting_models([offer.model for offer in inspection.offers])
    kept = {id(model) for model in models}
    return dataclasses.replace(
        inspection,
        reason=shown(f"{inspection.reason} {note}".strip(), REASON),
        offers=[offer for offer in inspection.offers if id(offer.model) in kept],
        capacity=min(max(inspection.capacity, 0), MOST_AT_ONCE),
    )


def as_remote(inspection: Inspection, *, found: bool) -> Inspection:
    """The same with every model marked as remote. `found`: nobody listed it, so its word counts for little."""
    offers = [offer for offer in inspection.offers if not found or _is_modest(offer)]
    for offer in offers:
        offer.model.remote = True
        if found:
            offer.model.owner = offer.model.license = offer.model.source = ""
    return dataclasses.replace(inspection, offers=offers[:MODELS] if found else offers)


def _is_modest(offer: Offer) -> bool:
    return offer.model.id.isprintable() and 0 < len(offer.model.id.encode()) <= ID_BYTES


def _believe(offer: Offer, adapter: Adapter) -> None:
    """Takes from an offer what its model has shown not to do, and adds the tool calls that a schema can bring about."""
    told = {*offer.model.capabilities} - adapter.learned.missing(offer.model.id)
    if adapter.holds_schemas and JSON in told:
        told.add(TOOL_CHOICE)
    del offer.model.capabilities[:]
    offer.model.capabilities.extend(sorted(told))
