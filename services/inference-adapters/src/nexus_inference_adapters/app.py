"""Puts the adapter process together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

from nexus.catalog.v1 import catalog_pb2_grpc
from nexus.inference.v1 import inference_pb2_grpc
from nexus.lifecycle.v1 import lifecycle_pb2_grpc
from nexus_mesh.core import telemetry
from nexus_mesh.process import Mesh, Servicer

from nexus_inference_adapters.backend_config import BackendConfig
from nexus_inference_adapters.config import MODEL_FILE, AdapterSettings
from nexus_inference_adapters.discovery import DiscoveredBackends, Rescan, browsing
from nexus_inference_adapters.host import Host
from nexus_inference_adapters.service import CatalogServicer, InferenceServicer, LifecycleServicer
from nexus_inference_adapters.store import Store

__all__ = ["open_adapter"]

OTHERWISE = "embedded-models"
"""The name of the backend of the models in the box, where MODEL_FILE is another's."""
STAND_IN_PRIORITY = 1000  # an engine is preferred, until the stand-in has left
PULLED = {"ctranslate2": "whisper", "piper": "piper"}
"""Kinds that serve what was pulled in other formats, by those; the backend of each is called as its kind."""
SPEECH, PAINTER = "speech", "painter"
MEDIA_PRIORITY = 900
"""One of the same name that somebody has set up is preferred."""
LOOK_SECONDS = 0.5
FIRST_LOOK_SECONDS = 5.0  # as long as one look may take

log = telemetry.logger("adapter")


@asynccontextmanager
async def open_adapter(mesh: Mesh[AdapterSettings]) -> AsyncIterator[Sequence[Servicer]]:
    """The servicers of an adapter; its backends run as long as the context."""
    spiffe = mesh.identity.spiffe
    async with Host(mesh.settings, mesh.status) as host:
        pulled = mesh.settings.home / "models"
        for config in mesh.settings.backends:
            if _belongs_here(config, mesh.settings, spiffe.zone):
                host.add(config)
        if mesh.settings.model is not None:
            given, name = mesh.settings.model, mesh.settings.model_name
            host.add(BackendConfig(name=MODEL_FILE, kind="embedded", path=given, model_name=name))
        async with _discovery(mesh, host):
            if mesh.settings.demo:
                _serve_the_box(mesh, host, pulled)
                mesh.spawn(_serve_by_what_was_pulled(host, pulled), name="pulled")
            if mesh.settings.speech and SPEECH not in host.named:
                host.add(BackendConfig(name=SPEECH, kind="espeak", priority=MEDIA_PRIORITY))
            if mesh.settings.painter and PAINTER not in host.named:
                host.add(BackendConfig(name=PAINTER, kind="painter", priority=MEDIA_PRIORITY))
            # An adapter that comes back would else be known without models, and requests for them refused as unknown.
            await host.look_around(FIRST_LOOK_SECONDS)
            yield [
                Servicer(
                    InferenceServicer(host, spiffe.instance_id),
                    inference_pb2_grpc.add_InferenceServiceServicer_to_server,
                ),
                Servicer(CatalogServicer(host), catalog_pb2_grpc.add_CatalogServiceServicer_to_server),
                Servicer(LifecycleServicer(host), lifecycle_pb2_grpc.add_LifecycleServiceServicer_to_server),
            ]


@asynccontextmanager
async def _discovery(mesh: Mesh[AdapterSettings], host: Host) -> AsyncIterator[None]:
    """What listens on this machine has been looked for once before it begins; what is announced comes later."""
    settings = mesh.settings
    if not settings.discovery:
        yield
        return
    discovered = DiscoveredBackends(host)
    rescan = Rescan(discovered, settings)
    await rescan.once()
    mesh.spawn(rescan.run(), name="discovery")
    async with nullcontext() if settings.mdns == "off" else browsing(discovered, settings):
        yield


def _serve_the_box(mesh: Mesh[AdapterSettings], host: Host, pulled: Path) -> None:
    """What was pulled is served beside everything else; what comes with NEXUS only where there is nothing else."""
    taken = {backend.name for backend in (*mesh.settings.backends, *(one.config for one in host.backends))}
    name = OTHERWISE if MODEL_FILE in taken else MODEL_FILE
    config = BackendConfig(name=name, kind="embedded", store=pulled, builtin=mesh.settings.builtin)
    if Store(pulled).models():
        host.add(config)
    elif not taken:
        host.add(config.model_copy(update={"priority": STAND_IN_PRIORITY}))
        mesh.spawn(_leave_when_there_are_others(host, Store(pulled)), name="stand-in")


async def _leave_when_there_are_others(host: Host, pulled: Store) -> None:
    """What nobody asked for would be taken for an engine beside engines. What was pulled was asked for, and stays."""
    beside = {*PULLED.values(), SPEECH, PAINTER}
    while (names := {one.config.name for one in host.backends} - beside) == {MODEL_FILE}:  # noqa: ASYNC110 - they come untold
        await asyncio.sleep(LOOK_SECONDS)
    if MODEL_FILE in names and not pulled.models():
        log.info("model in the box leaves: there is an engine now")
        await host.drop(MODEL_FILE)


async def _serve_by_what_was_pulled(host: Host, pulled: Path) -> None:
    """Serves models of a format from the first of them on: a backend without any would be one that does nothing."""
    waiting = dict(PULLED)
    while waiting:
        for form, kind in tuple(waiting.items()):
            if await asyncio.to_thread(Store(pulled).models, form):
                del waiting[form]
                if all(one.config.name != kind for one in host.backends):
                    host.add(BackendConfig(name=kind, kind=kind, store=pulled))
        await asyncio.sleep(LOOK_SECONDS)


def _belongs_here(config: BackendConfig, settings: AdapterSettings, zone: str) -> bool:
    """The certificate decides the zone: serving another zone's backend would show it in a zone it is not in."""
    if config.zone is None:
        return not settings.named_zone_only
    if config.zone != zone:
        log.info("backend of another zone left out", backend=config.name, zone=config.zone)
    return config.zone == zone
