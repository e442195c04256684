"""The life of a service process: settings, identity, server, registration, drain. The same for every service."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar

import uvloop
from nexus.vault.v1 import identity_pb2

from nexus_mesh.core import (
    VERSION,
    ConfigError,
    MeshError,
    files,
    give_large_blocks_back,
    loopback,
    telemetry,
)
from nexus_mesh.identity import Identity, JoinToken, SpiffeId, tls
from nexus_mesh.process import enrollment, run_file
from nexus_mesh.process.mesh import Mesh
from nexus_mesh.process.registration import Registration
from nexus_mesh.process.trust import cut_denied, follow_trust
from nexus_mesh.rpc import DIRECT, MeshServer, Servicer, start_server
from nexus_mesh.settings import ServiceSettings, load

__all__ = ["Enroll", "Mesh", "Servicer", "run"]

S = TypeVar("S", bound=ServiceSettings)
Open = Callable[[Mesh[S]], AbstractAsyncContextManager[Sequence[Servicer]]]
Enroll = Callable[[S, SpiffeId, bytes], Awaitable[identity_pb2.IssuedCertificate]]

TOKEN_SECONDS = 60.0
TOKEN_POLL = 0.2

FILE_LIMIT = 65_536

log = telemetry.logger("service")


def run(role: str, settings: type[S], open_service: Open[S], *, enroll: Enroll[S] | None = None) -> int:
    """Runs a service until SIGTERM or SIGINT; the process's exit code. `enroll` replaces the vault as issuer."""
    files.guard_process()
    try:
        loaded = load(settings, sys.argv[1:])
    except ConfigError as error:
        for problem in error.problems:
            sys.stderr.write(f"nexus-{role}: {problem}\n")
        return 2
    telemetry.setup_logging(role, loaded.log_level)
    _raise_file_limit()
    give_large_blocks_back()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_main(role, loaded, open_service, enroll))


def _raise_file_limit() -> None:
    """A thousand streams need two thousand descriptors, and many systems start a process with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILE_LIMIT if hard == resource.RLIM_INFINITY else min(FILE_LIMIT, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _main(role: str, settings: S, open_service: Open[S], enroll: Enroll[S] | None) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await asyncio.to_thread(files.private_folder, settings.home)
        await serve(role, settings, open_service, enroll, stop)
    except (ConfigError, MeshError, OSError) as error:
        log.error("cannot run", detail=str(error))
        return 1
    return 0


async def serve(
    role: str, settings: S, open_service: Open[S], enroll: Enroll[S] | None, stop: asyncio.Event
) -> None:
    """Serves until `stop` is set, then drains."""
    folder = settings.home / "identities" / f"{role}-{settings.name}"
    starting = asyncio.ensure_future(_identity(role, settings, folder, enroll))
    halted = asyncio.ensure_future(stop.wait())
    await asyncio.wait({starting, halted}, return_when=asyncio.FIRST_COMPLETED)
    halted.cancel()
    if not starting.done():
        starting.cancel()
        return
    identity = starting.result()
    async with Mesh(settings, identity) as mesh:
        # Before anything is served: the vault may be away, and who was withdrawn must not come back with us.
        mesh.denied.load(folder)
        telemetry.start_tracing(role, settings.otel_endpoint, DIRECT)
        mesh.spawn(enrollment.keep_fresh(identity, folder, _renewer(mesh, enroll)), name="renewal")
        async with open_service(mesh) as servicers:
            server = await start_server(
                servicers, host=settings.host, port=settings.port, identity=identity, denied=mesh.denied
            )
            cut_denied(mesh.denied, server.streams)
            mesh.spawn(follow_trust(mesh.control("vault"), identity, mesh.denied, folder), name="trust")
            await _serve_until(stop, mesh, server, role)


async def _serve_until(stop: asyncio.Event, mesh: Mesh[S], server: MeshServer, role: str) -> None:
    settings = mesh.settings
    metrics = (
        None if settings.metrics_port is None else telemetry.serve_metrics(loopback(), settings.metrics_port)
    )
    registration = Registration(mesh.control("registry"), mesh.status, port=server.port, version=VERSION)
    beating = mesh.spawn(registration.run(), name="registration")
    described = run_file.write(settings.home, role, settings, server.port, metrics)
    log.info("serving", port=server.port, identity=str(mesh.identity.spiffe))
    await stop.wait()
    log.info("draining", grace_seconds=settings.drain_grace)
    mesh.draining.set()
    beating.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await beating
    await registration.leave()
    await server.drain(settle=settings.drain_settle, grace=settings.drain_grace)
    described.unlink(missing_ok=True)
    telemetry.stop_tracing()
    log.info("stopped")


async def _identity(role: str, settings: S, folder: Path, enroll: Enroll[S] | None) -> Identity:
    """The stored identity, else one from the service's own issuer, else one for the join token."""
    await asyncio.to_thread(files.remove_parts, folder)
    stored = await asyncio.to_thread(tls.load, folder)
    if stored is not None:
        return Identity(stored)
    if enroll is not None:
        spiffe = SpiffeId(settings.trust_domain, settings.zone, settings.node, role, settings.name)
        return await enrollment.enroll(folder, lambda request: enroll(settings, spiffe, request))
    if settings.join_token_file is None:
        raise ConfigError(
            [f"no identity in {folder} and no join token: set join_token_file for the first start"]
        )
    token = await _join_token(settings.join_token_file)
    return await enrollment.enroll(folder, lambda request: _redeem(token, request))


async def _join_token(path: Path) -> JoinToken:
    """The token in a file, which whoever starts the mesh may be about to leave there."""
    for _ in range(int(TOKEN_SECONDS / TOKEN_POLL)):
        if path.exists():
            break
        await asyncio.sleep(TOKEN_POLL)
    try:
        return JoinToken.decode(await asyncio.to_thread(path.read_text))
    except OSError as error:
        raise ConfigError([f"the join token {path} cannot be read: {error.strerror}"]) from None
    except ValueError as error:
        raise ConfigError([str(error)]) from None


async def _redeem(token: JoinToken, request: bytes) -> identity_pb2.IssuedCertificate:
    return (await enrollment.join(token, request)).certificate


def _renewer(mesh: Mesh[S], enroll: Enroll[S] | None) -> enrollment.Issuer:
    if enroll is None:
        return enrollment.renew_with(mesh.control("vault"))
    return lambda request: enroll(mesh.settings, mesh.identity.spiffe, request)
