"""A certificate of a release that named identities otherwise is renewed at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from nexus.vault.v1 import identity_pb2
from nexus_mesh.identity.tls import Identity
from nexus_mesh.process import enrollment
from support.ca import MeshCA


async def test_it_is_renewed_at_once_and_only_once(tmp_path: Path) -> None:
    """A1: hosts of an earlier release need not join again."""
    ca, asked = MeshCA(), 0
    renewed = asyncio.Event()
    spiffe = ca.spiffe("adapter", zone="restricted")
    identity = Identity(ca.material(spiffe, dns=["main.n1.adapter.nexus.internal"]))
    assert not identity.carries_its_name

    async def issue(request: bytes) -> identity_pb2.IssuedCertificate:
        nonlocal asked
        asked += 1
        assert x509.load_der_x509_csr(request).is_signature_valid
        made = ca.material(spiffe)
        leaf = made.leaf().public_bytes(Encoding.PEM)
        return identity_pb2.IssuedCertificate(chain_pem=leaf, bundle_pem=made.bundle_pem)

    identity.subscribe(renewed.set)
    keeping = asyncio.create_task(enrollment.keep_fresh(identity, tmp_path, issue))
    async with asyncio.timeout(10):
        await renewed.wait()
    await asyncio.sleep(0)
    keeping.cancel()
    assert (asked, identity.carries_its_name, identity.spiffe) == (1, True, spiffe)
