"""Requests for certificates: the key is taken, once it is proven; whatever else is asked for is not."""

from __future__ import annotations

import os

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from nexus_mesh.core.errors import MeshError, Reason
from nexus_mesh.identity.tls import certificate_request, new_key
from nexus_vault.ca.request import MAX_REQUEST_BYTES, requested_key

NOBODY = x509.Name([])


def _signed(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(NOBODY)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


def _stolen() -> bytes:
    """Another's public key, without the private key to sign with."""
    request = bytearray(certificate_request(new_key()))
    request[-1] ^= 1
    return bytes(request)


def _large() -> bytes:
    padding = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.3.6.1.4.1.1"), os.urandom(MAX_REQUEST_BYTES)
    )
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateSigningRequestBuilder().subject_name(NOBODY).add_extension(padding, critical=False)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def _ed25519() -> bytes:
    key = ed25519.Ed25519PrivateKey.generate()
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(NOBODY)
        .sign(key, None)
        .public_bytes(Encoding.DER)
    )


REFUSED = {
    "empty": b"",
    "noise": os.urandom(300),
    "PEM": b"-----BEGIN CERTIFICATE REQUEST-----\n",
    "truncated": certificate_request(new_key())[:-10],
    "not signed by its key": _stolen(),
    "too large": _large(),
    "RSA": _signed(rsa.generate_private_key(65537, 2048)),
    "P-384": _signed(ec.generate_private_key(ec.SECP384R1())),
    "Ed25519": _ed25519(),
}


@pytest.mark.parametrize("request_der", REFUSED.values(), ids=REFUSED.keys())
def test_refused(request_der: bytes) -> None:
    with pytest.raises(MeshError) as refusal:
        requested_key(request_der)
    assert refusal.value.reason is Reason.INVALID_REQUEST
    assert refusal.value.metadata == {"param": "certificate_request"}


def test_the_proven_key_is_taken() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    assert requested_key(_signed(key)) == key.public_key()
