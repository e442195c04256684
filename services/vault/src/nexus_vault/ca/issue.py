"""Issues identities with the issuing CA in use."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import prometheus_client
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from nexus_mesh.core import MeshError, Reason
from nexus_mesh.identity import UNLIMITED, Claims, SpiffeId

from nexus_vault.ca.authorities import CertifiedKey
from nexus_vault.ca.leaf import sign_leaf
from nexus_vault.ca.request import requested_key
from nexus_vault.clock import Clock, utc_now

__all__ = ["Issued", "IssuingAuthority"]

ISSUED = prometheus_client.Counter(
    "nexus_vault_certificates_issued_total", "Certificates issued, by role.", ["role"]
)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and what it was issued under, PEM: the chain leaf first, the bundle every root."""

    spiffe: SpiffeId
    chain_pem: bytes
    bundle_pem: bytes
    expires_at: datetime.datetime
    serial: str


class IssuingAuthority:
    """Signs certificates for one trust domain. `issuing` may be replaced by its successor at any time."""

    def __init__(
        self,
        trust_domain: str,
        roots: Sequence[x509.Certificate],
        issuing: CertifiedKey,
        ttl: datetime.timedelta,
        clock: Clock = utc_now,
    ) -> None:
        self.trust_domain = trust_domain
        self.roots = tuple(roots)
        self.issuing = issuing
        self._ttl = ttl
        self._clock = clock

    @property
    def bundle_pem(self) -> bytes:
        """Every root to trust."""
        return b"".join(root.public_bytes(Encoding.PEM) for root in self.roots)

    @property
    def root_sha256(self) -> bytes:
        """Of the newest root: what a join token pins."""
        return self.roots[-1].fingerprint(hashes.SHA256())

    @property
    def ttl(self) -> datetime.timedelta:
        """The life of a certificate."""
        return self._ttl

    def issue(
        self,
        spiffe: SpiffeId,
        request: bytes,
        ttl: datetime.timedelta | None = None,
        claims: Claims = UNLIMITED,
    ) -> Issued:
        """A certificate for `spiffe` over the key of a PKCS#10 (DER). Raises MeshError INVALID_REQUEST."""
        if spiffe.trust_domain != self.trust_domain:
            raise MeshError(Reason.INVALID_REQUEST, f"This vault issues names of {self.trust_domain} only.")
        key = requested_key(request)
        try:
            life = self._ttl if ttl is None else ttl
            leaf = sign_leaf(self.issuing, spiffe, key, self._clock(), life, claims)
        except ValueError as error:
            raise MeshError(Reason.INVALID_REQUEST, f"The certificate was refused: {error}.") from None
        ISSUED.labels(spiffe.role).inc()
        chain = leaf.public_bytes(Encoding.PEM) + self.issuing.certificate.public_bytes(Encoding.PEM)
        serial = format(leaf.serial_number, "x")
        return Issued(spiffe, chain, self.bundle_pem, leaf.not_valid_after_utc, serial)
