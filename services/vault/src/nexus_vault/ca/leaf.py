"""Certificates of the mesh's members: one identity, its DNS names, a short life."""

from __future__ import annotations

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from nexus_mesh.identity import ROLE_TABLE, UNLIMITED, Claims, SpiffeId, role_server_name

from nexus_vault.ca.authorities import SKEW, CertifiedKey

__all__ = ["MAX_TTL", "sign_leaf"]

MAX_TTL = datetime.timedelta(hours=24)

# etcd's own gateway dials etcd at the loopback address.
LOOPBACK_NAMES = (
    *(x509.IPAddress(ipaddress.ip_address(host)) for host in ("127.0.0.1", "::1")),
    x509.DNSName("localhost"),
)
EXTRA_NAMES: dict[str, tuple[x509.GeneralName, ...]] = {"etcd": LOOPBACK_NAMES}

LEAF_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def sign_leaf(
    issuing: CertifiedKey,
    spiffe: SpiffeId,
    key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    ttl: datetime.timedelta,
    claims: Claims = UNLIMITED,
) -> x509.Certificate:
    """A certificate for `spiffe` over `key`. It never outlives its issuer. Raises ValueError (ttl)."""
    if not datetime.timedelta(0) < ttl <= MAX_TTL:
        raise ValueError("a certificate lives longer than 0 s and at most 24 h")
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing.key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, spiffe.name)]))
        .issuer_name(issuing.certificate.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(min(now + ttl, issuing.certificate.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(LEAF_USAGE, critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(spiffe)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(issuer, critical=False)
    )
    if claims != UNLIMITED:
        builder = builder.add_extension(claims.extension(), critical=False)
    return builder.sign(issuing.key, hashes.SHA256())


def _names(spiffe: SpiffeId) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(str(spiffe)),
        x509.DNSName(spiffe.server_name),
    ]
    if ROLE_TABLE[spiffe.role].shared:
        names.append(x509.DNSName(role_server_name(spiffe.role, spiffe.trust_domain)))
    return [*names, *EXTRA_NAMES.get(spiffe.role, ())]
