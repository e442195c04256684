"""Puts the store together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from nexus.store.v1.store_pb2_grpc import add_StoreServiceServicer_to_server
from nexus.store.v1.work_pb2_grpc import add_WorkServiceServicer_to_server
from nexus_database import open_database
from nexus_mesh.core import exclusive, private_folder
from nexus_mesh.process import Finder, Mesh, Servicer
from nexus_tasks import open_tasks, work

from nexus_store.config import StoreSettings
from nexus_store.contents import ObjectStore
from nexus_store.folder import Folder
from nexus_store.link_key import link_key
from nexus_store.rows import SCHEMA
from nexus_store.service import StoreServicer
from nexus_store.store import Store
from nexus_store.types import Limits
from nexus_store.work import KIND, RETRIES, Gateways, Runner, WorkLimits, Works, WorkServicer

__all__ = ["open_store"]


@asynccontextmanager
async def open_store(mesh: Mesh[StoreSettings]) -> AsyncIterator[Sequence[Servicer]]:
    """Raises MeshError, OSError."""
    settings = mesh.settings
    limits = Limits(
        object_bytes=settings.max_object_bytes,
        bytes=settings.quota_bytes,
        objects=settings.quota_objects,
        retention=settings.retention,
    )
    private_folder(settings.folder)
    with exclusive(settings.folder, "store"):
        key = link_key(settings.folder / "links.key")
        async with open_database(settings.rows, SCHEMA) as commits:
            store = Store(commits, await asyncio.to_thread(_contents, settings), limits)
            await store.open()
            sweeping = mesh.spawn(store.sweeping(settings.sweep_interval), name="sweep")
            try:
                async with _open_works(mesh, store) as works:
                    zone = mesh.identity.spiffe.zone
                    yield [
                        Servicer(StoreServicer(store, works, zone, key), add_StoreServiceServicer_to_server),
                        Servicer(WorkServicer(works, zone), add_WorkServiceServicer_to_server),
                    ]
            finally:
                sweeping.cancel()
                await asyncio.wait({sweeping})


def _contents(settings: StoreSettings) -> ObjectStore:
    """Raises OSError, ConfigError."""
    if settings.s3 is None:
        return Folder(settings.folder)
    from nexus_store.s3 import S3  # few stores need what it stands on

    return S3(settings.s3, settings.folder)


@asynccontextmanager
async def _open_works(mesh: Mesh[StoreSettings], store: Store) -> AsyncIterator[Works]:
    """Runs what waits, for as long as it is open."""
    settings = mesh.settings
    limits = WorkLimits(
        open=settings.work_open, deadline=settings.work_deadline, retention=settings.work_retention
    )
    async with open_tasks(settings.works, retries=RETRIES) as table:
        runner = Runner(table, store, Gateways(Finder(mesh, "gateway")), limits.retention)
        works = Works(table, store, runner, limits)
        worker = work(
            table,
            mesh.identity.spiffe.instance_id,
            [KIND],
            runner.run,
            slots=settings.work_slots,
            share=settings.work_share,
        )
        tasks = {
            mesh.spawn(worker, name="work"),
            mesh.spawn(works.sweeping(settings.sweep_interval), name="sweep of work"),
        }
        try:
            yield works
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
