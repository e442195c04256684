"""PKCS#10 requests: only the key is taken from them, and only once its possession is proven."""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from nexus_mesh.core import MeshError, Reason

__all__ = ["MAX_REQUEST_BYTES", "fingerprint", "requested_key"]

MAX_REQUEST_BYTES = 4096


def requested_key(request: bytes) -> ec.EllipticCurvePublicKey:
    """The EC P-256 key that signed a request (DER). Raises MeshError INVALID_REQUEST."""
    if not 0 < len(request) <= MAX_REQUEST_BYTES:
        raise _refused(f"must have 1 to {MAX_REQUEST_BYTES} bytes")
    try:
        parsed = x509.load_der_x509_csr(request)
        key = parsed.public_key()
        proven = parsed.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
        raise _refused("must be a PKCS#10 in DER") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _refused("must carry an EC P-256 key")
    if not proven:
        raise _refused("must be signed with the key it carries")
    return key


def fingerprint(key: ec.EllipticCurvePublicKey) -> bytes:
    """SHA-256 of a public key."""
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_bytes(encoding, form)).digest()


def _refused(why: str) -> MeshError:
    return MeshError(
        Reason.INVALID_REQUEST, f"The certificate request {why}.", metadata={"param": "certificate_request"}
    )
