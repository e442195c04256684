"""How the vault gets its own certificate: from its own CA, at the first start and at every renewal."""

from __future__ import annotations

from nexus.vault.v1 import identity_pb2
from nexus_mesh.identity import SpiffeId

from nexus_vault import convert
from nexus_vault.config import VaultSettings
from nexus_vault.core import open_core

__all__ = ["enroll"]


async def enroll(settings: VaultSettings, spiffe: SpiffeId, request: bytes) -> identity_pb2.IssuedCertificate:
    """A certificate for the vault itself over the key of a PKCS#10 (DER). Raises MeshError.

    Opens the store for itself: the first certificate is needed before there is a running vault to ask.
    """
    async with open_core(settings) as core:
        return convert.certificate(core.authority.issue(spiffe, request))
