"""What the mesh trusts and denies, as the vault tells it: the roots, and identities withdrawn before their time."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

from nexus.vault.v1 import identity_pb2

from nexus_mesh.core import MeshError, Reason, telemetry
from nexus_mesh.identity import Denials, Identity
from nexus_mesh.rpc import Call, Method, OpenStreams, Peer

__all__ = ["cut_denied", "follow_trust"]

WATCH = Method(
    "nexus.vault.v1.IdentityService",
    "WatchTrust",
    identity_pb2.WatchTrustRequest,
    identity_pb2.WatchTrustResponse,
)
log = telemetry.logger("trust")


async def follow_trust(vault: Peer, identity: Identity, denied: Denials, folder: Path) -> None:
    """Keeps the bundle and the deny-list as the vault has them, the latter also in `folder`."""
    saved = denied.revision
    async for trust in vault.follow(WATCH, identity_pb2.WatchTrustRequest):
        if trust.bundle_pem and trust.bundle_pem != identity.bundle_pem:
            identity.replace(dataclasses.replace(identity.material, bundle_pem=trust.bundle_pem))
        if trust.revision < denied.revision:
            log.warning("an older list of withdrawn identities was not taken", told=trust.revision)
        fresh = denied.replace(trust.denied_spiffe_ids, trust.revision)
        if fresh:
            log.warning("identities withdrawn", identities=sorted(fresh))
        if denied.revision != saved:
            saved = await _save(denied, folder, saved)


async def _save(denied: Denials, folder: Path, before: int) -> int:
    """The revision that is on the disk afterwards."""
    revision = denied.revision
    try:
        await asyncio.to_thread(denied.save, folder)
    except OSError as error:
        log.error("withdrawn identities not saved: they would come back with a restart", cause=error.strerror)
        return before
    return revision


def cut_denied(denied: Denials, streams: OpenStreams) -> None:
    """Ends the streams being served to whoever is denied, now and after every change."""

    def is_denied(call: Call) -> bool:
        return call.caller is not None and str(call.caller.spiffe) in denied

    def cut() -> None:
        gone = MeshError(Reason.MESH_IDENTITY, "This identity has been withdrawn.")
        if count := streams.end(is_denied, gone):
            log.warning("streams of withdrawn identities cut", streams=count)

    denied.subscribe(cut)
    cut()
