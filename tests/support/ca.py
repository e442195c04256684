"""A certificate authority in memory, able to make what a real one refuses: expired, two names, foreign."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from nexus_mesh.identity.claims import UNLIMITED, Claims
from nexus_mesh.identity.spiffe import SpiffeId, role_server_name
from nexus_mesh.identity.tls import Identity, Material

DAY = datetime.timedelta(days=1)


class MeshCA:
    """One root; leaves are issued by it directly."""

    def __init__(self, trust_domain: str = "nexus.internal") -> None:
        self.trust_domain = trust_domain
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test root")])
        builder = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self._key.public_key())
        )
        builder = _dated(builder, datetime.timedelta(days=3650), DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self._root = builder.sign(self._key, hashes.SHA256())
        self.bundle_pem = self._root.public_bytes(serialization.Encoding.PEM)

    def spiffe(self, role: str, name: str = "main", node: str = "n1", zone: str = "default") -> SpiffeId:
        return SpiffeId(self.trust_domain, zone, node, role, name)

    def identity(self, role: str, name: str = "main", node: str = "n1", zone: str = "default") -> Identity:
        """A good identity."""
        return Identity(self.material(self.spiffe(role, name, node, zone)))

    def client(self, tenant: str, tenant_id: str, models: tuple[str, ...] = ()) -> Identity:
        """A good identity of a tenant's client."""
        claims = Claims(models, tenant=tenant, tenant_id=tenant_id)
        return Identity(self.material(self.spiffe("client", tenant), claims=claims))

    def material(
        self,
        spiffe: SpiffeId,
        *,
        life: datetime.timedelta = DAY,
        started: datetime.timedelta = datetime.timedelta(minutes=1),
        uris: Sequence[str] | None = None,
        client_auth: bool = True,
        dns: Sequence[str] | None = None,
        loopback: bool = False,
        claims: Claims = UNLIMITED,
    ) -> Material:
        """Key and certificate for an identity. `uris` replaces the one URI; `life` may be negative: expired.

        `dns` replaces the names it is dialled by. `loopback`: it names that address too, as the vault does for etcd.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(uri) for uri in ([str(spiffe)] if uris is None else uris)
        ]
        own = (spiffe.server_name, role_server_name(spiffe.role, self.trust_domain))
        names += [x509.DNSName(name) for name in (own if dns is None else dns)]
        if loopback:
            names.append(x509.IPAddress(ipaddress.IPv4Address("127.0.0.1")))
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] + (
            [ExtendedKeyUsageOID.CLIENT_AUTH] if client_auth else []
        )
        builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(self._root.subject)
        builder = _dated(builder.public_key(key.public_key()), life, started)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if claims != UNLIMITED:
            builder = builder.add_extension(claims.extension(), critical=False)
        leaf = builder.sign(self._key, hashes.SHA256())
        key_pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Material(key_pem, leaf.public_bytes(serialization.Encoding.PEM), self.bundle_pem)


def _dated(
    builder: x509.CertificateBuilder, life: datetime.timedelta, started: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    start = min(now - started, now + life - DAY if life < datetime.timedelta() else now)
    return (
        builder.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(now + life)
    )
