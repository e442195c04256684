"""Keeps the CA in the store: certificates in the open, private keys sealed."""

from __future__ import annotations

import datetime

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy.ext.asyncio import AsyncConnection

from nexus_vault.ca.authorities import CertifiedKey, new_issuing, new_root
from nexus_vault.database import Database
from nexus_vault.errors import VaultUnusableError
from nexus_vault.seal import Label, Seal
from nexus_vault.secret_store import load_secret, save_secret
from nexus_vault.tables import authorities

__all__ = ["ISSUING", "ROOT", "found", "load", "load_certificates", "renew_issuing"]

ROOT = "root"
ISSUING = "issuing"
PURPOSE = "ca-key"


async def found(connection: AsyncConnection, seal: Seal, trust_domain: str, now: datetime.datetime) -> None:
    """Makes and stores the first root and issuing CA."""
    root = new_root(trust_domain, now)
    await _save(connection, seal, ROOT, 1, root)
    await _save(connection, seal, ISSUING, 1, new_issuing(root, trust_domain, now))


async def load_certificates(database: Database, name: str) -> list[x509.Certificate]:
    """Every version of a CA's certificate, oldest first, at least one. Raises VaultUnusableError."""
    rows = await database.read(
        sa.select(authorities.c.certificate_pem)
        .where(authorities.c.name == name)
        .order_by(authorities.c.version)
    )
    if not rows:
        raise VaultUnusableError(f"The store holds no {name} certificate any more: restore a backup.")
    return [x509.load_pem_x509_certificate(row.certificate_pem) for row in rows]


async def load(database: Database, seal: Seal, name: str) -> CertifiedKey:
    """The newest version of a CA, its key opened. Raises SealBrokenError."""
    certificates = await load_certificates(database, name)
    sealed_key = await load_secret(database, seal, Label(PURPOSE, name, len(certificates)))
    key = serialization.load_der_private_key(sealed_key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 - _save stores no other
    return CertifiedKey(key, certificates[-1])


async def renew_issuing(
    database: Database, seal: Seal, trust_domain: str, now: datetime.datetime
) -> CertifiedKey:
    """Makes and stores the successor of the issuing CA."""
    version = len(await load_certificates(database, ISSUING)) + 1
    successor = new_issuing(await load(database, seal, ROOT), trust_domain, now)
    await database.write(lambda connection: _save(connection, seal, ISSUING, version, successor))
    return successor


async def _save(connection: AsyncConnection, seal: Seal, name: str, version: int, ca: CertifiedKey) -> None:
    certificate = ca.certificate.public_bytes(serialization.Encoding.PEM)
    await connection.execute(
        authorities.insert().values(name=name, version=version, certificate_pem=certificate)
    )
    key = ca.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    await save_secret(connection, seal, Label(PURPOSE, name, version), key)
