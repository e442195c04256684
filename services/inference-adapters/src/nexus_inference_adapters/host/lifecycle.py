"""What people have done with models: load, unload, delete, pull. Where memory is managed, its ledger is asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from nexus.types.v1 import memory_pb2
from nexus_mesh.core import MeshError, Reason

from nexus_inference_adapters.contract import Offer, Patience, Progress
from nexus_inference_adapters.host.backend import Backend
from nexus_inference_adapters.host.host import Host

__all__ = ["Lifecycle"]

NAME_LENGTH = 256
LOAD_SHARE = 0.9
"""Of the caller's time: who waits in vain hears why from us, and not that his time is over."""
PULL_SECONDS = 24 * 3600.0
PULL_SILENCE_SECONDS = 600.0
"""While it checks a large file Ollama says nothing."""


class Lifecycle:
    """Of the models of a host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def load(self, backend: str, model: str, seconds: float | None) -> tuple[str, int]:
        """The model's name and what it takes of a managed device. Waits for its turn, at most `seconds`."""
        chosen, offer = self._find(backend, model, memory_pb2.ABILITY_LOAD)
        if offer.model.remote:
            raise _remote(offer)
        if chosen.residency is None:
            await chosen.load(offer)
            return offer.model.id, 0
        limit = chosen.limits(offer).total if seconds is None else LOAD_SHARE * seconds
        async with chosen.residency.place(offer, None, limit):
            return offer.model.id, chosen.residency.held(offer)

    async def unload(self, backend: str, model: str) -> str:
        """The model's name. What is not loaded stays so."""
        chosen, offer = self._find(backend, model, memory_pb2.ABILITY_UNLOAD)
        await _take_out(chosen, offer)
        return offer.model.id

    async def delete(self, backend: str, model: str) -> str:
        """The model's name. Its memory is freed first."""
        chosen, offer = self._find(backend, model, memory_pb2.ABILITY_DELETE)
        if not offer.model.remote:
            await _take_out(chosen, offer)
        await chosen.adapter.delete(offer)
        chosen.look_now.set()
        return offer.model.id

    async def pull(self, backend: str, model: str) -> AsyncGenerator[Progress, None]:
        """How it gets on; ends when the model is there."""
        chosen = self._backend(backend, memory_pb2.ABILITY_PULL)
        if not model or len(model) > NAME_LENGTH or not model.isprintable():
            raise MeshError(
                Reason.INVALID_REQUEST,
                f"Name the model, in at most {NAME_LENGTH} printable characters.",
                metadata={"param": "model"},
            )
        allowed = chosen.config.models
        if allowed and model not in allowed:
            raise MeshError(
                Reason.INVALID_REQUEST,
                f"Backend {backend} offers only what `models` of its [[backends]] lists: add {model!r} there first.",
                metadata={"param": "model"},
            )
        limits = self._host.settings.timeouts_of(model).model_copy(update={"total": PULL_SECONDS})
        with Patience(limits, silence=PULL_SILENCE_SECONDS) as patience:
            async with aclosing(chosen.adapter.pull(model, patience)) as steps:
                async for step in steps:
                    yield step
        chosen.look_now.set()

    def _find(self, backend: str, model: str, ability: memory_pb2.Ability) -> tuple[Backend, Offer]:
        chosen = self._backend(backend, ability)
        return chosen, chosen.offer(model)

    def _backend(self, name: str, ability: memory_pb2.Ability) -> Backend:
        if name not in {backend.config.name for backend in self._host.backends}:
            raise MeshError(
                Reason.OBJECT_NOT_FOUND,
                f"There is no backend {name[:64]!r} here.",
                metadata={"param": "backend"},
            )
        backend = self._host.named[name]
        if ability not in backend.adapter.abilities:
            raise backend.adapter.unable(ability)
        if backend.config.found_elsewhere:
            raise MeshError(
                Reason.CAPABILITY_MISSING,
                f"Backend {name} was found on another machine, whose models are its owner's. To manage them, "
                "list it in [[backends]], or run `nexus join` there.",
                metadata={"param": "backend"},
            )
        return backend


async def _take_out(backend: Backend, offer: Offer) -> None:
    if offer.model.remote:
        raise _remote(offer)
    if backend.residency is None or not await backend.residency.take_out(offer):
        await backend.unload(offer)


def _remote(offer: Offer) -> MeshError:
    return MeshError(
        Reason.CAPABILITY_MISSING,
        f"Model {offer.model.id!r} runs elsewhere, its backend only passes requests on: it takes no memory here.",
        metadata={"param": "model"},
    )
