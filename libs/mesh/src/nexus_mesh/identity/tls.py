"""Keys and certificates in memory, and the gRPC credentials made of them. Nothing else opens a key file."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from nexus_mesh.core import private_folder, write_private
from nexus_mesh.identity.spiffe import SpiffeId

__all__ = ["Identity", "Material", "certificate_request", "is_key", "load", "new_key", "store"]

ONE_FILE = "identity.pem"
BUNDLE_FILE = "bundle.pem"


@dataclass(frozen=True, slots=True)
class Material:
    """A key, its chain (leaf first) and the roots to trust, all PEM."""

    key_pem: bytes
    chain_pem: bytes
    bundle_pem: bytes

    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.chain_pem)


class Identity:
    """This process's own identity. Replaced in place at renewal; whoever built something from it subscribes."""

    def __init__(self, material: Material) -> None:
        self._subscribers: list[Callable[[], None]] = []
        self._set(material)

    def _set(self, material: Material) -> None:
        leaf = material.leaf()
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.material = material
        self.spiffe = SpiffeId.parse(names.get_values_for_type(x509.UniformResourceIdentifier)[0])
        self.starts_at = leaf.not_valid_before_utc
        self.expires_at = leaf.not_valid_after_utc
        # One of an earlier release may carry a name nobody dials any more.
        self.carries_its_name = self.spiffe.server_name in names.get_values_for_type(x509.DNSName)

    @property
    def key_pem(self) -> bytes:
        return self.material.key_pem

    @property
    def chain_pem(self) -> bytes:
        return self.material.chain_pem

    @property
    def bundle_pem(self) -> bytes:
        return self.material.bundle_pem

    def replace(self, material: Material) -> None:
        """Swaps the material and tells every subscriber."""
        self._set(material)
        for callback in tuple(self._subscribers):
            callback()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back after each replacement; the result unsubscribes, and may be called twice."""
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

        return unsubscribe

    def channel_credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self.bundle_pem, self.key_pem, self.chain_pem)

    def server_credentials(self, *, client_certificate: bool = True) -> grpc.ServerCredentials:
        """Credentials that hand each new connection the newest certificate.

        Who has none to show cannot know the roots yet: they are shown to it, for it to compare with a join token.
        """
        served = self.material

        def fetch() -> Any:  # None = no change, which the stub does not know
            nonlocal served
            if served is not self.material:
                served = self.material
                return _server_configuration(served, client_certificate)
            return None

        return grpc.dynamic_ssl_server_credentials(
            _server_configuration(served, client_certificate),
            fetch,
            require_client_authentication=client_certificate,
        )


def _server_configuration(
    material: Material, client_certificate: bool
) -> grpc.ServerCertificateConfiguration:
    pair = [(material.key_pem, material.chain_pem + (b"" if client_certificate else material.bundle_pem))]
    return grpc.ssl_server_certificate_configuration(
        pair, material.bundle_pem if client_certificate else None
    )


def new_key() -> bytes:
    """A fresh EC P-256 key, PEM."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def is_key(path: Path) -> bool:
    """Whether a file holds a private key that can be used."""
    try:
        serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        return False
    return True


def certificate_request(key_pem: bytes) -> bytes:
    """A PKCS#10 (DER) that proves possession of the key and asks for nothing: names come from the issuer."""
    from cryptography.hazmat.primitives import hashes

    key = serialization.load_pem_private_key(key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 - new_key makes no other
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def load(folder: Path) -> Material | None:
    """The identity stored in a folder: identity.pem (key and chain) or key.pem and chain.pem, with bundle.pem.

    None when there is none or it has expired.
    """
    try:
        bundle = (folder / BUNDLE_FILE).read_bytes()
        if (folder / ONE_FILE).exists():
            key, chain = _split((folder / ONE_FILE).read_bytes())
        else:
            key, chain = (folder / "key.pem").read_bytes(), (folder / "chain.pem").read_bytes()
        material = Material(key, chain, bundle)
        alive = material.leaf().not_valid_after_utc > datetime.datetime.now(datetime.UTC)
    except (OSError, ValueError):
        return None
    return material if alive else None


def store(folder: Path, material: Material) -> None:
    """Writes an identity so that a crash leaves the old one or the new one, never a mix. Key file mode 0600."""
    private_folder(folder)
    write_private(folder / BUNDLE_FILE, material.bundle_pem)
    write_private(folder / ONE_FILE, material.key_pem + material.chain_pem)


def _split(content: bytes) -> tuple[bytes, bytes]:
    marker = b"-----BEGIN CERTIFICATE-----"
    key, separator, chain = content.partition(marker)
    if not separator:
        raise ValueError("no certificate in the identity file")
    return key, separator + chain
