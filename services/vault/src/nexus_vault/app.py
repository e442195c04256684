"""Puts the vault together: the opened store, its domain, its servicers, the join port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from nexus.vault.v1.identity_pb2_grpc import (
    add_IdentityServiceServicer_to_server,
    add_JoinServiceServicer_to_server,
)
from nexus.vault.v1.keys_pb2_grpc import add_KeyServiceServicer_to_server
from nexus.vault.v1.tenants_pb2_grpc import add_TenantServiceServicer_to_server
from nexus_mesh.core import MeshError, addresses, exclusive, telemetry
from nexus_mesh.identity import SpiffeId
from nexus_mesh.process import Mesh
from nexus_mesh.rpc import Servicer, serve_public

from nexus_vault.clock import utc_now
from nexus_vault.config import VaultSettings
from nexus_vault.core import Core, open_core
from nexus_vault.identity_roll import IdentityRoll
from nexus_vault.join_tokens import JoinTokens
from nexus_vault.key_ring import KeyRing
from nexus_vault.operator_identity import OperatorIdentity
from nexus_vault.service import IdentityServicer, JoinServicer, KeyServicer, TenantServicer
from nexus_vault.tenant_roll import TenantRoll
from nexus_vault.trust import Trust

__all__ = ["open_vault"]

UPKEEP_SECONDS = 60.0
UPKEEP_OF_LIFE = 10  # looked after at least this often in the life of a certificate

log = telemetry.logger("vault")


@asynccontextmanager
async def open_vault(mesh: Mesh[VaultSettings]) -> AsyncIterator[Sequence[Servicer]]:
    """The main port's servicers; beside them the join port is served. Raises MeshError, OSError."""
    async with open_core(mesh.settings) as core:
        with exclusive(mesh.settings.folder, "vault"):
            async with _upkeep(mesh, core), _joining(mesh, core) as servicers:
                yield servicers


@asynccontextmanager
async def _joining(mesh: Mesh[VaultSettings], core: Core) -> AsyncIterator[Sequence[Servicer]]:
    """Serves the join port; the main port's servicers, which need to know its address."""
    settings = mesh.settings
    trust = Trust(core.database, core.authority)
    await trust.load()
    keys = KeyRing(core.database, core.pepper, settings.key_environment)
    await keys.load()
    tenants = TenantRoll(core.database, keys)
    await tenants.load()
    roll = IdentityRoll(core.database, core.authority.ttl)
    tokens = JoinTokens(core.database, core.pepper, on_reuse=lambda spiffe: _withdraw(trust, spiffe))
    join = JoinServicer(core.authority, trust, tokens, roll, settings.control_plane)
    door = [Servicer(join, add_JoinServiceServicer_to_server)]
    async with serve_public(door, settings.host, settings.join_port, mesh.identity) as port:
        address = settings.join_address or addresses.join(settings.host, port)
        log.info("join port open", address=address)
        identity = IdentityServicer(core.authority, trust, tokens, roll, tenants, address)
        yield [
            Servicer(identity, add_IdentityServiceServicer_to_server),
            Servicer(KeyServicer(keys, tenants), add_KeyServiceServicer_to_server),
            Servicer(TenantServicer(tenants), add_TenantServiceServicer_to_server),
        ]


@asynccontextmanager
async def _upkeep(mesh: Mesh[VaultSettings], core: Core) -> AsyncIterator[None]:
    """Renews in time what has no owner to renew it: the issuing CA, the operator's certificate."""
    operator = _operator(mesh.settings, core)
    await _renew_what_is_due(core, operator)
    pause = min(UPKEEP_SECONDS, mesh.settings.certificate_ttl / UPKEEP_OF_LIFE)
    task = mesh.spawn(_keep_up(core, operator, pause), name="upkeep")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _keep_up(core: Core, operator: OperatorIdentity | None, pause: float) -> None:
    while True:
        await asyncio.sleep(pause)
        try:
            await _renew_what_is_due(core, operator)
        except (MeshError, OSError) as error:
            log.warning("upkeep failed, will be tried again", cause=str(error))


async def _renew_what_is_due(core: Core, operator: OperatorIdentity | None) -> None:
    await core.renew_issuing_if_due(utc_now())
    if operator is not None:
        await asyncio.to_thread(operator.refresh)


async def _withdraw(trust: Trust, spiffe: SpiffeId) -> None:
    await trust.deny(spiffe, "its join token was presented a second time", "vault")


def _operator(settings: VaultSettings, core: Core) -> OperatorIdentity | None:
    if settings.operator_dir is None:
        return None
    spiffe = SpiffeId(settings.trust_domain, settings.zone, settings.node, "operator", "local")
    return OperatorIdentity(settings.operator_dir, core.authority, spiffe)
