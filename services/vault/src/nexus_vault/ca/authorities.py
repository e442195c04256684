"""The CA's own certificates: a root for ten years, and below it an issuing CA for one year."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["SKEW", "CertifiedKey", "new_issuing", "new_root"]

ROOT_LIFE = datetime.timedelta(days=3652)
ISSUING_LIFE = datetime.timedelta(days=365)
SKEW = datetime.timedelta(seconds=30)  # clocks of the mesh may differ by this much

CA_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, slots=True)
class CertifiedKey:
    """A CA's private key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def new_root(trust_domain: str, now: datetime.datetime) -> CertifiedKey:
    """A new self-signed root."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("NEXUS root", trust_domain)
    builder = _builder(key, name, name, trust_domain, now, ROOT_LIFE, path_length=1)
    return CertifiedKey(key, builder.sign(key, hashes.SHA256()))


def new_issuing(root: CertifiedKey, trust_domain: str, now: datetime.datetime) -> CertifiedKey:
    """A new issuing CA, which may sign leaves only and does not outlive its root."""
    key = ec.generate_private_key(ec.SECP256R1())
    life = min(ISSUING_LIFE, root.certificate.not_valid_after_utc - now)
    name = _name("NEXUS issuing", trust_domain)
    builder = _builder(key, name, root.certificate.subject, trust_domain, now, life, path_length=0)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key())
    return CertifiedKey(key, builder.add_extension(issuer, critical=False).sign(root.key, hashes.SHA256()))


def _name(what: str, trust_domain: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, trust_domain[:64]),
            x509.NameAttribute(NameOID.COMMON_NAME, what),
        ]
    )


def _builder(
    key: ec.EllipticCurvePrivateKey,
    subject: x509.Name,
    issuer: x509.Name,
    trust_domain: str,
    now: datetime.datetime,
    life: datetime.timedelta,
    *,
    path_length: int,
) -> x509.CertificateBuilder:
    owner = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(CA_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(owner, critical=False)
    )
