"""What people have done with models besides asking them: which backend it concerns, and the call to its adapter."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from nexus.lifecycle.v1 import lifecycle_pb2
from nexus.router.v1 import snapshot_pb2
from nexus.types.v1 import memory_pb2
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.rpc import Method, Peer

from nexus_gateway.access import Principal, demand_management
from nexus_gateway.fleet import Peers, RoutingTable

__all__ = ["ABILITIES", "Chosen", "Done", "Lifecycle", "choose", "perform", "pulled"]

SERVICE = "nexus.lifecycle.v1.LifecycleService"
LOAD = Method(SERVICE, "Load", lifecycle_pb2.LoadRequest, lifecycle_pb2.LoadResponse)
UNLOAD = Method(SERVICE, "Unload", lifecycle_pb2.UnloadRequest, lifecycle_pb2.UnloadResponse)
DELETE = Method(SERVICE, "Delete", lifecycle_pb2.DeleteRequest, lifecycle_pb2.DeleteResponse)
PULL = Method(SERVICE, "Pull", lifecycle_pb2.PullRequest, lifecycle_pb2.PullResponse)

CALLS: dict[memory_pb2.Ability, Method[Any, Any]] = {
    memory_pb2.ABILITY_LOAD: LOAD,
    memory_pb2.ABILITY_UNLOAD: UNLOAD,
    memory_pb2.ABILITY_DELETE: DELETE,
}
ABILITIES: dict[str, memory_pb2.Ability] = {
    "load": memory_pb2.ABILITY_LOAD,
    "unload": memory_pb2.ABILITY_UNLOAD,
    "pull": memory_pb2.ABILITY_PULL,
    "delete": memory_pb2.ABILITY_DELETE,
}
SECONDS = 600.0
"""For all but a pull, which takes as long as it takes."""
LATEST = ":latest"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The backend it concerns, and the model by the name that is known there."""

    target: snapshot_pb2.Target
    model: str


@dataclass(frozen=True, slots=True)
class Done:
    """What was done to which model, where. `size` in bytes of managed memory, 0 = not managed or not in memory."""

    model: str
    backend: str
    instance: str
    size: int = 0


class Lifecycle:
    """Each method raises CALLER_SCOPE first, then what `choose` and the adapter raise."""

    def __init__(self, table: RoutingTable, peers: Peers) -> None:
        self._table = table
        self._peers = peers

    async def do(self, what: str, principal: Principal, model: str, backend: str) -> Done:
        """Loads, unloads or deletes (a key of ABILITIES) a model. `backend` empty = the one there is."""
        peer, chosen = self._reach(what, principal, model, backend)
        return await perform(peer, chosen, ABILITIES[what])

    def pull(
        self, principal: Principal, model: str, backend: str
    ) -> tuple[Done, AsyncGenerator[lifecycle_pb2.PullProgress, None]]:
        """What will have been done once the iterator ends."""
        peer, chosen = self._reach("pull", principal, model, backend)
        return Done(chosen.model, chosen.target.backend, chosen.target.instance), pulled(peer, chosen)

    def _reach(self, what: str, principal: Principal, model: str, backend: str) -> tuple[Peer, Chosen]:
        demand_management(principal)
        if self._table.snapshot is None:
            raise MeshError(
                Reason.NOT_READY,
                "This gateway has not heard from its router yet, so it knows no backends. Try again shortly.",
                retry_after=1.0,
            )
        chosen = choose(self._table.snapshot, ABILITIES[what], model, backend)
        return self._peers[chosen.target.address, chosen.target.server_name], chosen


def choose(
    snapshot: snapshot_pb2.Snapshot, ability: memory_pb2.Ability, model: str, backend: str = ""
) -> Chosen:
    """The one backend it concerns. `backend`: its name or its target's id.

    Raises OBJECT_NOT_FOUND (backend), MODEL_NOT_FOUND, INVALID_REQUEST when there are several.
    """
    targets = [target for target in snapshot.targets if not backend or backend in (target.backend, target.id)]
    if backend and not targets:
        raise MeshError(
            Reason.OBJECT_NOT_FOUND,
            f"There is no backend {backend[:128]!r}; `nexus status` shows those there are.",
            metadata={"param": "backend"},
        )
    if ability != memory_pb2.ABILITY_PULL:
        model = _own_name(snapshot, model, deleting=ability == memory_pb2.ABILITY_DELETE)
        targets = [target for target in targets if _offers(target, model)]
        if not targets:
            raise MeshError(
                Reason.MODEL_NOT_FOUND,
                f"{'It' if backend else 'No backend'} offers {'no' if backend else 'the'} model {model[:128]!r}.",
                metadata={"param": "model"},
            )
    able = [target for target in targets if ability in target.abilities]
    if not backend and not able and ability == memory_pb2.ABILITY_PULL:
        raise MeshError(
            Reason.CAPABILITY_MISSING,
            "No backend of this mesh can pull models: an Ollama could.",
            metadata={},
        )
    # One that cannot is asked too where there is no other: its adapter knows what to do instead.
    return Chosen(_only(able or targets), model)


async def perform(peer: Peer, chosen: Chosen, ability: memory_pb2.Ability) -> Done:
    """Loads, unloads or deletes at the adapter behind `peer`."""
    method, target = CALLS[ability], chosen.target
    request = method.request(backend=target.backend, model=chosen.model)
    answer = await peer.unary(method, request, timeout=SECONDS)
    return Done(answer.model, target.backend, target.instance, getattr(answer, "size_bytes", 0))


async def pulled(peer: Peer, chosen: Chosen) -> AsyncGenerator[lifecycle_pb2.PullProgress, None]:
    """Progress; ends by itself only when the model is there. Closing it stops the pull."""
    request = lifecycle_pb2.PullRequest(backend=chosen.target.backend, model=chosen.model)
    async with peer.stream(PULL, request, timeout=None) as call:
        async for message in call:
            if message.HasField("finish"):
                return
            yield message.progress
    raise MeshError(Reason.UPSTREAM_MALFORMED, "The pull ended without saying that the model is there.")


def _own_name(snapshot: snapshot_pb2.Snapshot, model: str, *, deleting: bool) -> str:
    seen: set[str] = set()
    name = model
    while name in snapshot.aliases and name not in seen:
        seen.add(name)
        name = snapshot.aliases[name]
    if deleting and name != model:
        raise MeshError(
            Reason.INVALID_REQUEST,
            f"{model[:128]!r} is an alias of {name!r}. To delete that model, name it itself.",
            metadata={"param": "model"},
        )
    return name


def _offers(target: snapshot_pb2.Target, model: str) -> bool:
    return any(known.id in (model, model + LATEST, model.removesuffix(LATEST)) for known in target.models)


def _only(targets: list[snapshot_pb2.Target]) -> snapshot_pb2.Target:
    if len(targets) > 1:
        ids = ", ".join(target.id for target in targets)
        raise MeshError(
            Reason.INVALID_REQUEST,
            f"Several backends come into question: {ids}. Name one as backend.",
            metadata={"param": "backend"},
        )
    return targets[0]
