"""What the mesh trusts and denies, as the vault tells it: the roots, and identities withdrawn before their time."""

from __future__ import annotations

import dataclasses
import functools

from nexus.vault.v1 import identity_pb2

from nexus_mesh import telemetry
from nexus_mesh.client import Method, Peer
from nexus_mesh.errors import MeshError, Reason
from nexus_mesh.handlers import OpenStreams
from nexus_mesh.middleware import Call
from nexus_mesh.tls import Identity

__all__ = ["follow_trust"]

WATCH = Method(
    "nexus.vault.v1.IdentityService",
    "WatchTrust",
    identity_pb2.WatchTrustRequest,
    identity_pb2.WatchTrustResponse,
)
log = telemetry.logger("trust")


async def follow_trust(vault: Peer, identity: Identity, denied: set[str], streams: OpenStreams) -> None:
    """Keeps the bundle and the deny-list as the vault has them, and cuts the streams of who is denied."""
    async for told in vault.follow(WATCH, identity_pb2.WatchTrustRequest):
        if told.bundle_pem and told.bundle_pem != identity.bundle_pem:
            identity.replace(dataclasses.replace(identity.material, bundle_pem=told.bundle_pem))
        now = set(told.denied_spiffe_ids)
        fresh = now - denied
        denied.clear()
        denied.update(now)
        if fresh:
            gone = MeshError(Reason.MESH_IDENTITY, "This identity has been withdrawn.")
            cut = streams.end(functools.partial(_belongs_to, fresh), gone)
            log.warning("identities withdrawn", identities=sorted(fresh), streams_cut=cut)


def _belongs_to(identities: set[str], call: Call) -> bool:
    return call.caller is not None and str(call.caller.spiffe) in identities
