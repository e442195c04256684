"""Who is calling: read from the verified peer certificate, once per certificate, never from a message."""

from __future__ import annotations

import datetime
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509

from nexus_mesh.core import MeshError, Reason
from nexus_mesh.identity.claims import UNLIMITED, Claims, in_certificate
from nexus_mesh.identity.spiffe import SpiffeId

__all__ = ["CALLER", "Caller", "caller", "from_certificate"]


@dataclass(frozen=True, slots=True)
class Caller:
    """A peer with a valid certificate."""

    spiffe: SpiffeId
    expires_at: datetime.datetime
    expires_timestamp: float
    serial: str
    claims: Claims = UNLIMITED


CALLER: ContextVar[Caller] = ContextVar("caller")


def caller() -> Caller:
    """The caller of the RPC being handled. Raises LookupError outside a handler."""
    return CALLER.get()


@lru_cache(maxsize=4096)
def from_certificate(pem: bytes) -> Caller:
    """The peer with a verified certificate. Raises MESH_IDENTITY unless it names exactly one identity of the mesh."""
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        (uri,) = uris
        spiffe = SpiffeId.parse(uri)
        claims = in_certificate(certificate)
    except (x509.ExtensionNotFound, ValueError):
        raise MeshError(
            Reason.MESH_IDENTITY,
            "The certificate must name exactly one identity of this mesh (one SPIFFE URI) and no claims but ours.",
        ) from None
    expires = certificate.not_valid_after_utc
    return Caller(spiffe, expires, expires.timestamp(), format(certificate.serial_number, "x"), claims)
